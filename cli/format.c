/* SPDX-License-Identifier: MIT */
/* Figures as people read them; see format.h. */
#include "cli/format.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static const char *const unit_names[MA_FORMAT_UNITS] = {"B",   "KiB", "MiB", "GiB",
							"TiB", "PiB", "EiB"};

static double sane(double value)
{
	return value > 0 && isfinite(value) ? value : 0;
}

unsigned ma_format_size_unit(double bytes)
{
	unsigned unit = 0;
	/* A thousand of a unit already needs four digits: the next unit reads better. */
	for (bytes = sane(bytes); bytes >= 999.5 && unit + 1 < MA_FORMAT_UNITS; unit++)
		bytes /= 1024;
	return unit;
}

/* Digits behind the point that make three digits of the value. */
static int decimals_of(double value)
{
	return value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
}

static double in_unit(double bytes, unsigned unit)
{
	return ldexp(sane(bytes), -10 * (int)unit);
}

static void put_number(struct ma_figure *figure, double bytes, unsigned unit, int decimals)
{
	snprintf(figure->text, sizeof figure->text, "%.*f", unit ? decimals : 0,
		 in_unit(bytes, unit));
}

struct ma_figure ma_format_size_in(double bytes, unsigned unit)
{
	struct ma_figure figure;
	put_number(&figure, bytes, unit, decimals_of(in_unit(bytes, unit)));
	return figure;
}

struct ma_figure ma_format_size_beside(double bytes, double first_bytes)
{
	struct ma_figure figure;
	unsigned unit = ma_format_size_unit(first_bytes);
	if (!(first_bytes > 0))
		return ma_format_size(bytes);
	int decimals = decimals_of(in_unit(first_bytes, unit));
	int own_decimals = decimals_of(in_unit(bytes, unit));
	put_number(&figure, bytes, unit, decimals < own_decimals ? decimals : own_decimals);
	return figure;
}

struct ma_figure ma_format_size(double bytes)
{
	if (!(sane(bytes) > 0))
		return (struct ma_figure){"0"};
	unsigned unit = ma_format_size_unit(bytes);
	struct ma_figure number = ma_format_size_in(bytes, unit), figure;
	snprintf(figure.text, sizeof figure.text, "%.20s %s", number.text, unit_names[unit]);
	return figure;
}

struct ma_figure ma_format_setting(double bytes)
{
	unsigned unit = ma_format_size_unit(bytes);
	double value = in_unit(bytes, unit);
	struct ma_figure figure;
	if (value != floor(value))
		return ma_format_size(bytes);
	snprintf(figure.text, sizeof figure.text, "%.0f %s", value, unit_names[unit]);
	return figure;
}

struct ma_figure ma_format_size_interval(double bytes, double plus_minus)
{
	if (!(plus_minus > 0))
		return ma_format_size(bytes);
	unsigned unit = ma_format_size_unit(bytes > plus_minus ? bytes : plus_minus);
	int decimals =
		unit ? decimals_of(in_unit(bytes > plus_minus ? bytes : plus_minus, unit)) : 0;
	struct ma_figure figure;
	snprintf(figure.text, sizeof figure.text, "%.*f \u00b1%.*f %s", decimals,
		 in_unit(bytes, unit), decimals, in_unit(plus_minus, unit), unit_names[unit]);
	return figure;
}

struct ma_figure ma_format_rate(double bytes_per_second)
{
	struct ma_figure size = ma_format_size(fabs(bytes_per_second)), figure;
	snprintf(figure.text, sizeof figure.text, "%c%.20s/s", bytes_per_second < 0 ? '-' : '+',
		 size.text);
	return figure;
}

struct ma_figure ma_format_count(double count)
{
	static const char suffixes[] = " kMGTPE";
	unsigned step = 0;
	for (count = sane(count); count >= 999.5 && suffixes[step + 1]; step++)
		count /= 1000;
	struct ma_figure figure;
	if (!step)
		snprintf(figure.text, sizeof figure.text, "%.0f", count);
	else
		snprintf(figure.text, sizeof figure.text, "%.*f%c", count >= 9.95 ? 0 : 1, count,
			 suffixes[step]);
	return figure;
}

struct ma_figure ma_format_share(double ratio)
{
	double percent = sane(ratio) * 100;
	struct ma_figure figure;
	if (percent > 0 && percent < 0.01)
		snprintf(figure.text, sizeof figure.text, "< 0.01 %%");
	else if (percent == floor(percent) || percent >= 9.95)
		snprintf(figure.text, sizeof figure.text, "%.0f %%", percent);
	else
		snprintf(figure.text, sizeof figure.text, "%.*f %%", percent < 0.995 ? 2 : 1,
			 percent);
	return figure;
}

struct ma_figure ma_format_duration_us(double microseconds)
{
	static const struct {
		const char *name, *rest_name;
		double unit_s, rest_s;
	} scales[] = {{"d", "h", 86400, 3600}, {"h", "min", 3600, 60}, {"min", "s", 60, 1}};
	struct ma_figure figure;
	double us = sane(microseconds);
	if (us < 999.5) {
		snprintf(figure.text, sizeof figure.text, us > 0 ? "%.0f us" : "%.0f s", us);
		return figure;
	}
	if (us < 999.5e3) {
		snprintf(figure.text, sizeof figure.text, "%.*f ms",
			 us < 9.95e3 && us != 1e3 * floor(us / 1e3), us / 1e3);
		return figure;
	}
	double seconds = us < 9.95e6 ? us / 1e6 : floor(us / 1e6 + 0.5);
	for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
		if (seconds < scales[i].unit_s)
			continue;
		double whole = floor(seconds / scales[i].unit_s);
		double rest = floor((seconds - whole * scales[i].unit_s) / scales[i].rest_s);
		if (rest > 0)
			snprintf(figure.text, sizeof figure.text, "%.0f %s %.0f %s", whole,
				 scales[i].name, rest, scales[i].rest_name);
		else
			snprintf(figure.text, sizeof figure.text, "%.0f %s", whole, scales[i].name);
		return figure;
	}
	snprintf(figure.text, sizeof figure.text, "%.*f s", fabs(seconds - rint(seconds)) >= 0.05,
		 seconds);
	return figure;
}

struct ma_figure ma_format_clock(uint64_t realtime_ns, uint64_t now_ns)
{
	struct ma_figure figure = {"?"};
	time_t then = (time_t)(realtime_ns / 1000000000), now = (time_t)(now_ns / 1000000000);
	struct tm then_tm, now_tm;
	if (!localtime_r(&then, &then_tm) || !localtime_r(&now, &now_tm))
		return figure;
	int same_day = then_tm.tm_year == now_tm.tm_year && then_tm.tm_yday == now_tm.tm_yday;
	strftime(figure.text, sizeof figure.text, same_day ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S",
		 &then_tm);
	return figure;
}

struct ma_figure ma_format_iso(uint64_t realtime_ns)
{
	struct ma_figure figure = {""};
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm tm;
	char date[20];
	/* A year beyond four digits comes from a broken clock, and has no ISO form. */
	if (!gmtime_r(&seconds, &tm) || !strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm))
		return figure;
	snprintf(figure.text, sizeof figure.text, "%s.%03uZ", date,
		 (unsigned)(realtime_ns / 1000000 % 1000));
	return figure;
}

uint64_t ma_format_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
