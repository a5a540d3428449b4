/* SPDX-License-Identifier: MIT */
/* The coins of random windows, and patience with a process that does not turn to them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/windows.h"
#include "proto/area.h"

enum { RUNS = 1 << 16 };

static void test_open_part(void **state)
{
	(void)state;
	for (uint32_t exponent = 1; exponent <= 5; exponent++) {
		struct ma_windows windows = {0};
		uint64_t seen = 0;
		int open = 0, both = 0, last = 0;
		for (uint32_t ms = 1; ms <= RUNS; ms++) {
			seen = ma_windows_next(&windows, ms, exponent, seen);
			assert_int_equal(MA_WINDOW_START_MS(seen), ms);
			assert_int_equal(MA_WINDOW_EXPONENT(seen), exponent);
			int is_open = !(seen & MA_WINDOW_CLOSED);
			open += is_open;
			both += is_open && last;
			last = is_open;
		}
		/* Six standard deviations; that a window is open says nothing of the next one. */
		int expected = RUNS >> exponent, pairs = RUNS >> 2 * exponent;
		assert_in_range((open - expected) * (open - expected), 0, 36 * expected);
		assert_in_range((both - pairs) * (both - pairs), 0, 36 * 2 * pairs);
	}
}

static void test_none(void **state)
{
	(void)state;
	struct ma_windows windows = {0};
	for (uint32_t ms = 1; ms < 100; ms++)
		assert_int_equal(ma_windows_next(&windows, ms, 0, 12345), 0);
}

/* A process that does not turn is idle, or frees nothing: it gets no more windows until it does. */
static void test_patience(void **state)
{
	(void)state;
	struct ma_windows windows = {0};
	uint32_t ms = 1000;
	uint64_t seen = ma_windows_next(&windows, ms, 3, 0);
	while (ms < 1000 + MA_WINDOWS_PATIENCE_MS)
		assert_int_not_equal(ma_windows_next(&windows, ++ms, 3, seen), 0);
	while (ms < 5000)
		assert_int_equal(ma_windows_next(&windows, ++ms + 1, 3, seen), 0);
	/* It has turned to having none, so there may be some. */
	assert_int_not_equal(ma_windows_next(&windows, 6000, 3, 0), 0);
	/* One that turns late, to a window that has passed, turns. */
	uint64_t late = MA_WINDOW(6000, 3, 1);
	for (ms = 6001; ms < 9000; ms++, late = ms % 100 ? late : MA_WINDOW(ms, 3, 1))
		assert_int_not_equal(ma_windows_next(&windows, ms, 3, late), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open_part),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_patience),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
