/* SPDX-License-Identifier: MIT */
/* Sizes, counts, shares, durations and times as they are printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <time.h>

#include "cli/format.h"

#define EQUAL(figure, expected) assert_string_equal((figure).text, expected)

static const double mib = 1048576, gib = 1073741824;

static void test_sizes(void **state)
{
	(void)state;
	EQUAL(ma_format_size(0), "0");
	EQUAL(ma_format_size(-5), "0");
	EQUAL(ma_format_size(NAN), "0");
	EQUAL(ma_format_size(INFINITY), "0");
	EQUAL(ma_format_size(1), "1 B");
	EQUAL(ma_format_size(999), "999 B");
	EQUAL(ma_format_size(1000), "0.98 KiB");
	EQUAL(ma_format_size(65536), "64.0 KiB");
	EQUAL(ma_format_size(28.4 * mib), "28.4 MiB");
	EQUAL(ma_format_size(412 * mib), "412 MiB");
	EQUAL(ma_format_size(1.84 * gib), "1.84 GiB");
	EQUAL(ma_format_size(9.999 * mib), "10.0 MiB");
	EQUAL(ma_format_size(99.96 * mib), "100 MiB");
	EQUAL(ma_format_size(18446744073709551615.0), "16.0 EiB");
	EQUAL(ma_format_setting(65536), "64 KiB");
	EQUAL(ma_format_setting(196608), "192 KiB");
	EQUAL(ma_format_setting(1536), "1.50 KiB");
	EQUAL(ma_format_size_in(0.12 * gib, ma_format_size_unit(1.84 * gib)), "0.12");
	EQUAL(ma_format_size_beside(2.6 * mib, 28.4 * mib), "2.6");
	EQUAL(ma_format_size_beside(162.2 * 1024, 64.0 * 1024), "162");
	EQUAL(ma_format_size_beside(100.3 * 1024, 0), "100 KiB");
	EQUAL(ma_format_size_beside(0, 0), "0");
	EQUAL(ma_format_rate(3.1 * mib), "+3.10 MiB/s");
	EQUAL(ma_format_rate(-12 * 1024.0), "-12.0 KiB/s");
}

static void test_intervals(void **state)
{
	(void)state;
	EQUAL(ma_format_size_interval(38.2 * mib, 2.8 * mib), "38.2 \u00b12.8 MiB");
	EQUAL(ma_format_size_interval(38.2 * mib, 0), "38.2 MiB");
	EQUAL(ma_format_size_interval(100, 3 * mib), "0.00 \u00b13.00 MiB");
}

static void test_counts_and_shares(void **state)
{
	(void)state;
	EQUAL(ma_format_count(0), "0");
	EQUAL(ma_format_count(812), "812");
	EQUAL(ma_format_count(999.6), "1.0k");
	EQUAL(ma_format_count(9123), "9.1k");
	EQUAL(ma_format_count(412345), "412k");
	EQUAL(ma_format_count(1.23e6), "1.2M");
	EQUAL(ma_format_count(18446744073709551615.0), "18E");
	EQUAL(ma_format_share(0), "0 %");
	EQUAL(ma_format_share(0.00001), "< 0.01 %");
	EQUAL(ma_format_share(0.0002), "0.02 %");
	EQUAL(ma_format_share(0.014), "1.4 %");
	EQUAL(ma_format_share(0.02), "2 %");
	EQUAL(ma_format_share(0.954), "95 %");
}

static void test_durations(void **state)
{
	(void)state;
	EQUAL(ma_format_duration_us(0), "0 s");
	EQUAL(ma_format_duration_us(210), "210 us");
	EQUAL(ma_format_duration_us(6000), "6 ms");
	EQUAL(ma_format_duration_us(6100), "6.1 ms");
	EQUAL(ma_format_duration_us(16100), "16 ms");
	EQUAL(ma_format_duration_us(1.5e6), "1.5 s");
	EQUAL(ma_format_duration_us(10e6), "10 s");
	EQUAL(ma_format_duration_us(59.6e6), "1 min");
	EQUAL(ma_format_duration_us(125e6), "2 min 5 s");
	EQUAL(ma_format_duration_us(7380e6), "2 h 3 min");
	EQUAL(ma_format_duration_us((6 * 86400 + 2 * 3600) * 1e6), "6 d 2 h");
}

static void test_times(void **state)
{
	(void)state;
	const uint64_t second = 1000000000, noon = UINT64_C(1714564800) * second;
	setenv("TZ", "UTC", 1);
	tzset();
	EQUAL(ma_format_clock(noon, noon + 3600 * second), "12:00:00");
	EQUAL(ma_format_clock(noon, noon + 86400 * second), "2024-05-01 12:00:00");
	EQUAL(ma_format_iso(noon + 123456789), "2024-05-01T12:00:00.123Z");
	EQUAL(ma_format_clock(UINT64_MAX, 0), "2554-07-21 23:34:33");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_intervals),
		cmocka_unit_test(test_counts_and_shares),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
