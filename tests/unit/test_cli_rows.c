/* SPDX-License-Identifier: MIT */
/* Sites added up by line: nothing is lost, nothing is counted twice, the heaviest caller is named.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/heap_rows.h"
#include "cli_profile.h"
#include "proto/area.h"

static const struct cli_sample samples[] = {
	{.frames = {"put|/srv/c.py|8", "a|/srv/v.py|1"},
	 .held = 10,
	 .live = 30,
	 .count = 3,
	 .variance = 9},
	{.frames = {"put|/srv/c.py|8", "b|/srv/v.py|2"},
	 .held = 20,
	 .live = 50,
	 .count = 5,
	 .variance = 16},
	{.frames = {"put|/srv/c.py|8", "a|/srv/v.py|1", "x|/srv/v.py|3"},
	 .held = 5,
	 .live = 25,
	 .count = 2},
	{.frames = {"put|/srv/c.py|9", "a|/srv/v.py|1"}, .held = 0, .live = 400, .count = 1},
	{.frames = {"loads|/usr/lib/python3.11/json/__init__.py|346",
		    "get|/v/site-packages/requests/models.py|900", "_|/usr/lib/python3.11/x.py|1",
		    "fetch|/srv/f.py|5", "main|/srv/f.py|9"},
	 .held = 90,
	 .live = 90,
	 .count = 1},
	{.frames = {NULL}, .held = 1, .live = 1, .count = 1, .flags = MA_STACK_NO_PYTHON},
	{.frames = {NULL}, .held = 2, .live = 2, .count = 1, .flags = MA_STACK_FINALIZING},
	{.frames = {NULL}, .held = 3, .live = 3, .count = 1, .flags = MA_STACK_NO_PYTHON},
};

enum { SAMPLES = sizeof samples / sizeof samples[0] };

static void test_rows(void **state)
{
	(void)state;
	Memattach__Profile *profile = cli_profile_make(samples, SAMPLES);
	struct ma_heap_rows rows;
	profile->heap->sampler->interval_bytes = 0;
	ma_heap_rows_make(&rows, profile, 10);
	assert_int_equal(rows.count, 5);

	const struct ma_heap_row *loads = &rows.rows[0], *put = &rows.rows[1];
	assert_string_equal(loads->place.function, "loads");
	assert_string_equal(loads->caller.function, "get");
	assert_string_equal(loads->own.function, "fetch");
	assert_int_equal(loads->own.line, 5);

	assert_string_equal(put->place.function, "put");
	assert_int_equal(put->place.line, 8);
	assert_true(put->figures.held.value == 35 && put->figures.live.value == 105);
	assert_true(put->figures.live_count.value == 10 && put->figures.live.variance == 25);
	assert_int_equal(put->figures.sites, 3);
	assert_string_equal(put->caller.function, "a");
	assert_int_equal(put->callers, 2);
	assert_true(put->caller_share > 0.523 && put->caller_share < 0.524);
	assert_string_equal(put->own.function, "");

	assert_string_equal(rows.rows[2].place.function, "(no Python code)");
	assert_true(rows.rows[2].figures.held.value == 4);
	assert_string_equal(rows.rows[2].caller.function, "");
	assert_string_equal(rows.rows[3].place.function, "(interpreter shutting down)");
	/* Nothing held: behind all that hold something, however large it is now. */
	assert_int_equal(rows.rows[4].place.line, 9);

	double live = 0;
	for (size_t i = 0; i < rows.count; i++)
		live += rows.rows[i].figures.live.value;
	assert_true(live == profile->heap->totals->live_bytes);
	ma_heap_rows_fini(&rows);
	memattach__profile__free_unpacked(profile, NULL);
}

/* The place of the first row. */
static int64_t first_line(const Memattach__Profile *profile)
{
	struct ma_heap_rows rows;
	ma_heap_rows_make(&rows, profile, 10);
	int64_t line = rows.rows[0].place.line;
	ma_heap_rows_fini(&rows);
	return line;
}

/* Held bytes decide, unless they are fewer than sampling can tell, or younger than a second. */
static void test_rank(void **state)
{
	(void)state;
	Memattach__Profile *profile = cli_profile_make(samples, SAMPLES);
	profile->heap->sampler->interval_bytes = 30;
	assert_int_equal(first_line(profile), 346);
	profile->heap->sampler->interval_bytes = 31;
	assert_int_equal(first_line(profile), 9);
	profile->heap->sampler->mode = MEMATTACH__SAMPLER__MODE__EXACT;
	assert_int_equal(first_line(profile), 346);
	profile->heap->held_age_nanos = 999999999;
	assert_int_equal(first_line(profile), 9);
	memattach__profile__free_unpacked(profile, NULL);
}

/* Among few rows there is one for what is large and young. */
static void test_sudden_growth_is_shown(void **state)
{
	(void)state;
	Memattach__Profile *profile = cli_profile_make(samples, SAMPLES);
	struct ma_heap_rows rows;
	profile->heap->sampler->interval_bytes = 0;
	ma_heap_rows_make(&rows, profile, 2);
	assert_int_equal(rows.count, 5);
	assert_int_equal(rows.rows[0].place.line, 346);
	assert_int_equal(rows.rows[1].place.line, 9);
	ma_heap_rows_fini(&rows);
	ma_heap_rows_make(&rows, profile, 3);
	assert_int_equal(rows.rows[1].place.line, 8);
	assert_int_equal(rows.rows[2].place.line, 9);
	ma_heap_rows_fini(&rows);
	memattach__profile__free_unpacked(profile, NULL);
}

/* What counts of a process that ended is what it held then, old or young. */
static void test_rank_of_the_dead(void **state)
{
	(void)state;
	Memattach__Profile *profile = cli_profile_make(samples, SAMPLES);
	profile->heap->sampler->interval_bytes = 0;
	assert_int_equal(first_line(profile), 346);
	profile->heap->process->end = malloc(sizeof *profile->heap->process->end);
	memattach__end__init(profile->heap->process->end);
	profile->heap->process->end->how = MEMATTACH__END__HOW__DETACHED;
	assert_int_equal(first_line(profile), 346);
	profile->heap->process->end->how = MEMATTACH__END__HOW__SIGNALED;
	assert_int_equal(first_line(profile), 9);
	memattach__profile__free_unpacked(profile, NULL);
}

static void test_without_heap(void **state)
{
	(void)state;
	Memattach__Profile *profile = cli_profile_make(samples, SAMPLES);
	memattach__heap__free_unpacked(profile->heap, NULL);
	profile->heap = NULL;
	struct ma_heap_rows rows;
	ma_heap_rows_make(&rows, profile, 10);
	assert_int_equal(rows.count, 4);
	assert_int_equal(rows.rows[0].place.line, 9);
	ma_heap_rows_fini(&rows);
	memattach__profile__free_unpacked(profile, NULL);
}

static void test_empty(void **state)
{
	(void)state;
	Memattach__Profile *profile = cli_profile_make(NULL, 0);
	struct ma_heap_rows rows;
	ma_heap_rows_make(&rows, profile, 10);
	assert_int_equal(rows.count, 0);
	ma_heap_rows_fini(&rows);
	memattach__profile__free_unpacked(profile, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_sudden_growth_is_shown),
		cmocka_unit_test(test_rank_of_the_dead),
		cmocka_unit_test(test_without_heap),
		cmocka_unit_test(test_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
