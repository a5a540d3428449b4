/* SPDX-License-Identifier: MIT */
/* Curves and short figures. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "cli/live/compact.h"
#include "cli/live/graph.h"

static void test_sample(void **state)
{
	(void)state;
	const struct ma_graph_point points[] = {{110, 5}, {120, 9}, {150, 7}, {200, 3}};
	double values[10];
	ma_graph_sample(values, 10, points, 4, 100, 200);
	assert_true(isnan(values[0]));
	assert_true(values[1] == 5 && values[2] == 9);
	/* A point stands for the time since the one before it. */
	assert_true(values[3] == 7 && values[4] == 7 && values[5] == 7);
	assert_true(values[6] == 3 && values[9] == 3);
	ma_graph_sample(values, 2, points, 4, 100, 200);
	assert_true(values[0] == 9 && values[1] == 7);
	ma_graph_sample(values, 10, points, 0, 100, 200);
	assert_true(isnan(values[9]));
	ma_graph_sample(values, 10, points, 4, 200, 200);
	assert_true(isnan(values[0]) && ma_graph_most(values, 10) == 0);
}

static void check_blocks(const double *values, size_t columns, unsigned row, unsigned rows,
			 double most, bool utf8, const char *expected)
{
	struct ma_text text = {0};
	ma_graph_blocks(&text, values, columns, row, rows, most, utf8);
	assert_string_equal(ma_text_string(&text), expected);
	ma_text_fini(&text);
}

static void test_blocks(void **state)
{
	(void)state;
	const double values[] = {0, 0.01, 4, 8, NAN};
	check_blocks(values, 5, 0, 1, 8, true, " \u2581\u2584\u2588 ");
	check_blocks(values, 5, 0, 2, 8, true, "   \u2588 ");
	check_blocks(values, 5, 1, 2, 8, true, " \u2581\u2588\u2588 ");
	check_blocks(values, 5, 0, 1, 8, false, " _:# ");
	check_blocks(values, 5, 0, 1, 0, true, "     ");
}

static void test_dots(void **state)
{
	(void)state;
	const double rising[] = {0, 1, 2, 3}, none[] = {NAN, NAN, NAN, NAN};
	struct ma_text text = {0};
	ma_graph_dots(&text, rising, 2, 0, 1, 3, true);
	assert_string_equal(ma_text_string(&text), "\u2860\u280a");
	ma_text_fini(&text);
	ma_graph_dots(&text, none, 2, 0, 1, 3, true);
	assert_string_equal(ma_text_string(&text), "  ");
	ma_text_fini(&text);
}

static void test_ceiling(void **state)
{
	(void)state;
	assert_true(ma_graph_ceiling(0) == 1);
	assert_true(ma_graph_ceiling(NAN) == 1);
	assert_true(ma_graph_ceiling(900) == 1000);
	assert_true(ma_graph_ceiling(1.2 * 1024 * 1024) == 1.5 * 1024 * 1024);
	for (double most = 0.001; most < 1e15; most *= 1.37)
		assert_true(ma_graph_ceiling(most) >= most && ma_graph_ceiling(most) <= 2.1 * most);
}

static void test_figures(void **state)
{
	(void)state;
	assert_string_equal(ma_compact_size(0).text, "0");
	assert_string_equal(ma_compact_size(812).text, "812B");
	assert_string_equal(ma_compact_size(64 << 10).text, "64.0K");
	assert_string_equal(ma_compact_setting(64 << 10).text, "64K");
	assert_string_equal(ma_compact_setting(96.5 * 1024).text, "96.5K");
	assert_string_equal(ma_compact_size(1.84 * 1073741824).text, "1.84G");
	assert_string_equal(ma_compact_size(1023.0 * 1024).text, "1.00M");
	assert_string_equal(ma_compact_size(NAN).text, "0");
	assert_string_equal(ma_compact_size(-1).text, "0");
	assert_string_equal(ma_compact_change(300.0 * 1048576).text, "+300M");
	assert_string_equal(ma_compact_change(-4.2 * 1048576).text, "-4.20M");
	assert_string_equal(ma_compact_change(0.2).text, "0");
	assert_string_equal(ma_compact_count(40000).text, "40.0k");
	assert_string_equal(ma_compact_count(7).text, "7");
	assert_string_equal(ma_compact_duration(43.9).text, "43s");
	assert_string_equal(ma_compact_duration(12 * 60 + 5).text, "12m");
	assert_string_equal(ma_compact_duration(2 * 3600 + 300).text, "2h5m");
	assert_string_equal(ma_compact_duration(6 * 86400 + 7200).text, "6d2h");
	assert_string_equal(ma_compact_duration(-5).text, "0s");
	assert_string_equal(ma_compact_share(0.009).text, "0.9%");
	assert_string_equal(ma_compact_share(0.5).text, "50%");
	assert_string_equal(ma_compact_share(NAN).text, "0%");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sample),  cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_dots),    cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_figures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
