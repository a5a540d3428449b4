/* SPDX-License-Identifier: MIT */
/* Short figures; see compact.h. */
#include "cli/live/compact.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static double sane(double value)
{
	return isfinite(value) ? value : 0;
}

/* Three digits, and the sign of what they count in. */
static void put_scaled(struct ma_figure *figure, double value, double base, const char *units,
		       const char *sign)
{
	unsigned unit = 0;
	for (; value >= 999.5 && units[unit + 1]; unit++)
		value /= base;
	int decimals = !unit || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
	char suffix[2] = {units[unit] == ' ' ? '\0' : units[unit], '\0'};
	snprintf(figure->text, sizeof figure->text, "%s%.*f%s", sign, decimals, value, suffix);
}

struct ma_figure ma_compact_size(double bytes)
{
	struct ma_figure figure = {"0"};
	bytes = sane(bytes);
	if (bytes >= 0.5)
		put_scaled(&figure, bytes, 1024, "BKMGTPE", "");
	return figure;
}

struct ma_figure ma_compact_setting(double bytes)
{
	struct ma_figure figure = ma_compact_size(bytes);
	char *point = strchr(figure.text, '.');
	if (!point)
		return figure;
	size_t zeros = strspn(point + 1, "0");
	if (point[1 + zeros] < '0' || point[1 + zeros] > '9')
		memmove(point, point + 1 + zeros, strlen(point + 1 + zeros) + 1);
	return figure;
}

struct ma_figure ma_compact_change(double bytes)
{
	struct ma_figure figure = {"0"};
	bytes = sane(bytes);
	if (fabs(bytes) >= 0.5)
		put_scaled(&figure, fabs(bytes), 1024, "BKMGTPE", bytes < 0 ? "-" : "+");
	return figure;
}

struct ma_figure ma_compact_count(double count)
{
	struct ma_figure figure = {"0"};
	count = sane(count);
	if (count >= 0.5)
		put_scaled(&figure, count, 1000, " kMGTPE", "");
	return figure;
}

struct ma_figure ma_compact_duration(double seconds)
{
	static const struct {
		double unit, rest;
		char name, rest_name;
	} scales[] = {{86400, 3600, 'd', 'h'}, {3600, 60, 'h', 'm'}};
	struct ma_figure figure;
	seconds = sane(seconds) > 0 ? seconds : 0;
	if (seconds < 60) {
		snprintf(figure.text, sizeof figure.text, "%.0fs", floor(seconds));
		return figure;
	}
	for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
		double whole = floor(seconds / scales[i].unit);
		double rest = floor((seconds - whole * scales[i].unit) / scales[i].rest);
		if (whole < 1)
			continue;
		if (rest > 0)
			snprintf(figure.text, sizeof figure.text, "%.0f%c%.0f%c", whole,
				 scales[i].name, rest, scales[i].rest_name);
		else
			snprintf(figure.text, sizeof figure.text, "%.0f%c", whole, scales[i].name);
		return figure;
	}
	snprintf(figure.text, sizeof figure.text, "%.0fm", floor(seconds / 60));
	return figure;
}

struct ma_figure ma_compact_share(double ratio)
{
	struct ma_figure figure;
	double percent = sane(ratio) > 0 ? 100 * ratio : 0;
	snprintf(figure.text, sizeof figure.text, "%.*f%%", percent < 9.95 && percent > 0, percent);
	return figure;
}

struct ma_figure ma_compact_clock(uint64_t realtime_ns, bool seconds)
{
	struct ma_figure figure = {"?"};
	struct tm local;
	time_t time = (time_t)(realtime_ns / 1000000000);
	if (localtime_r(&time, &local))
		strftime(figure.text, sizeof figure.text, seconds ? "%H:%M:%S" : "%H:%M", &local);
	return figure;
}
