/* SPDX-License-Identifier: MIT */
/* Reading sizes, durations, percentages, counts and process ids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/quantity.h"

static void test_sizes(void **state)
{
	(void)state;
	static const struct {
		const char *string;
		uint64_t bytes; /* 0: refused */
	} cases[] = {
		{"1", 1},
		{"4096", 4096},
		{"64KiB", 65536},
		{"64kib", 65536},
		{"64k", 65536},
		{"64K", 65536},
		{"64KB", 64000},
		{"1.5MiB", 1572864},
		{"1.5 MiB", 1572864},
		{"2MB", 2000000},
		{"1GiB", 1073741824},
		{"1GB", 1000000000},
		{"3B", 3},
		{".5k", 512},
		{"", 0},
		{"0", 0},
		{"0.5", 0},
		{"-1", 0},
		{"+1", 0},
		{"KiB", 0},
		{"1.2.3", 0},
		{"1e3", 0},
		{"0x10", 0},
		{"64 parsecs", 0},
		{"64KiB ", 0},
		{"nan", 0},
		{"inf", 0},
		{"99999999999TiB", 0},
		{".", 0},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct ma_error error = {0};
		uint64_t bytes = 0;
		int code = ma_quantity_size(cases[i].string, &bytes, &error);
		if (code != (cases[i].bytes ? 0 : MA_ERR_USAGE) || bytes != cases[i].bytes)
			fail_msg("'%s': %d, %llu bytes", cases[i].string, code,
				 (unsigned long long)bytes);
	}
}

static void test_durations(void **state)
{
	(void)state;
	static const struct {
		const char *string;
		int64_t milliseconds; /* -1: refused */
	} cases[] = {
		{"0", 0},        {"0s", 0},         {"10", 10000},     {"10s", 10000},
		{"500ms", 500},  {"1.5s", 1500},    {"5m", 300000},    {"5min", 300000},
		{"1h", 3600000}, {"2d", 172800000}, {"10 s", 10000},   {"", -1},
		{"-1", -1},      {"-1s", -1},       {"soon", -1},      {"1y", -1},
		{"10s5", -1},    {"1e99", -1},      {"99999999d", -1}, {"nan", -1},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		uint64_t found = 77;
		int code = ma_quantity_duration(cases[i].string, &found, NULL);
		if (cases[i].milliseconds < 0 ? code != MA_ERR_USAGE || found != 77
					      : code || found != (uint64_t)cases[i].milliseconds)
			fail_msg("'%s': %d, %llu ms", cases[i].string, code,
				 (unsigned long long)found);
	}
}

static void test_percentages(void **state)
{
	(void)state;
	double ratio = 0;
	assert_int_equal(ma_quantity_percent("2%", &ratio, NULL), 0);
	assert_true(ratio > 0.0199 && ratio < 0.0201);
	assert_int_equal(ma_quantity_percent("2", &ratio, NULL), 0);
	assert_true(ratio > 0.0199 && ratio < 0.0201);
	assert_int_equal(ma_quantity_percent("100 %", &ratio, NULL), 0);
	assert_true(ratio == 1);
	static const char *const refused[] = {"0", "0%", "-2%", "101%", "", "%", "x", "2%%", "nan"};
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		assert_int_equal(ma_quantity_percent(refused[i], &ratio, NULL), MA_ERR_USAGE);
}

static void test_counts_and_pids(void **state)
{
	(void)state;
	unsigned count = 0;
	pid_t pid = 0;
	assert_int_equal(ma_quantity_count("1000000", &count, NULL), 0);
	assert_int_equal(count, 1000000);
	assert_int_equal(ma_quantity_count("1000001", &count, NULL), MA_ERR_USAGE);
	assert_int_equal(ma_quantity_count("0", &count, NULL), MA_ERR_USAGE);
	assert_int_equal(ma_quantity_pid("2147483647", &pid, NULL), 0);
	assert_int_equal(pid, 2147483647);
	assert_int_equal(ma_quantity_pid("0042", &pid, NULL), 0);
	assert_int_equal(pid, 42);
	static const char *const refused[] = {"0",  "-1",  "2147483648", "18446744073709551617",
					      "",   "1.5", " 1",         "1 ",
					      "+1", "0x1", "self"};
	for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
		assert_int_equal(ma_quantity_pid(refused[i], &pid, NULL), MA_ERR_USAGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_percentages),
		cmocka_unit_test(test_counts_and_pids),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
