/* SPDX-License-Identifier: MIT */
/* Reading what people type; see quantity.h. */
#include "cli/quantity.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	double factor;
};

static const struct unit size_units[] = {
	{"", 1},
	{"b", 1},
	{"k", 1024},
	{"m", 1048576},
	{"g", 1073741824},
	{"t", 1099511627776.0},
	{"kib", 1024},
	{"mib", 1048576},
	{"gib", 1073741824},
	{"tib", 1099511627776.0},
	{"kb", 1e3},
	{"mb", 1e6},
	{"gb", 1e9},
	{"tb", 1e12},
	{NULL, 0},
};

static const struct unit duration_units[] = {
	{"", 1e3},     {"ms", 1},     {"s", 1e3},     {"sec", 1e3}, {"m", 60e3},
	{"min", 60e3}, {"h", 3600e3}, {"d", 86400e3}, {NULL, 0},
};

static const struct unit percent_units[] = {{"", 0.01}, {"%", 0.01}, {NULL, 0}};

/* A decimal number of digits and at most one point, then a unit of the table. Returns 0 or -1. */
static int read_quantity(const char *string, const struct unit *units, double *value)
{
	const char *end = string;
	int digits = 0, points = 0;
	for (; isdigit((unsigned char)*end) || *end == '.'; end++) {
		digits += *end != '.';
		points += *end == '.';
	}
	if (!digits || points > 1)
		return -1;
	double number = strtod(string, NULL);
	while (*end == ' ')
		end++;
	for (; units->name; units++) {
		if (strcasecmp(units->name, end) == 0) {
			*value = number * units->factor;
			return isfinite(*value) ? 0 : -1;
		}
	}
	return -1;
}

static int refuse(struct ma_error *error, const char *string, const char *expected)
{
	ma_error_set(error, MA_ERR_USAGE, 0, "'%.60s'", string);
	ma_error_answer(error, "%s", expected);
	return MA_ERR_USAGE;
}

int ma_quantity_size(const char *string, uint64_t *bytes, struct ma_error *error)
{
	double value;
	if (read_quantity(string, size_units, &value) || value < 1 || value >= 0x1p63)
		return refuse(error, string,
			      "not a size: use a number and KiB, MiB or GiB "
			      "(or KB, MB, GB), as in 64KiB");
	*bytes = (uint64_t)value;
	return 0;
}

int ma_quantity_duration(const char *string, uint64_t *milliseconds, struct ma_error *error)
{
	static const double most_ms = 3650.0 * 86400e3;
	double value;
	if (read_quantity(string, duration_units, &value) || value > most_ms)
		return refuse(error, string,
			      "not a duration: use a number and ms, s, m, h or d, "
			      "as in 10s, 5m, 1h or 0");
	*milliseconds = (uint64_t)(value + 0.5);
	return 0;
}

int ma_quantity_percent(const char *string, double *ratio, struct ma_error *error)
{
	double value;
	if (read_quantity(string, percent_units, &value) || !(value > 0) || value > 1)
		return refuse(error, string,
			      "not a share: use a percentage above 0 and up to 100, as in 2%");
	*ratio = value;
	return 0;
}

/* Digits only, 1 .. most. */
static int read_whole(const char *string, long most, long *value)
{
	if (!string[0] || strspn(string, "0123456789") != strlen(string))
		return -1;
	errno = 0;
	*value = strtol(string, NULL, 10);
	return errno || *value < 1 || *value > most ? -1 : 0;
}

int ma_quantity_count(const char *string, unsigned *count, struct ma_error *error)
{
	long value;
	if (read_whole(string, 1000000, &value))
		return refuse(error, string, "not a count: use a whole number from 1 to 1000000");
	*count = (unsigned)value;
	return 0;
}

int ma_quantity_pid(const char *string, pid_t *pid, struct ma_error *error)
{
	long value;
	if (read_whole(string, INT_MAX, &value))
		return refuse(error, string, "not a process id: a PID is a whole number above 0");
	*pid = (pid_t)value;
	return 0;
}
