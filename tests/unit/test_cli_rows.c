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

/* What sites share through windows adds up without being squared; what may be missing is more. */
static void test_windows(void **state)
{
	(void)state;
	Memattach__Profile *profile = cli_profile_make(samples, SAMPLES);
	Memattach__Heap *heap = profile->heap;
	struct ma_heap_rows rows;
	heap->sampler->interval_bytes = 10;
	heap->sampler->unseen_bytes = 50;
	assert_true(ma_heap_resolution(heap) == 30);
	heap->sampler->window_exponent_max = 2;
	assert_true(ma_heap_resolution(heap) == 150);
	heap->sampler->interval_bytes = 0;
	heap->sampler->unseen_bytes = 0;
	for (size_t i = 0; i < heap->n_site; i++) {
		heap->site[i]->live_bytes_shared = 2;
		heap->site[i]->held_count_shared = 3;
	}
	heap->totals->peak_bytes_shared = 7;
	ma_heap_rows_make(&rows, profile, 10);
	const struct ma_heap_figures *put = &rows.rows[1].figures;
	assert_int_equal(put->sites, 3);
	assert_true(put->live.shared == 6 && put->held_count.shared == 9 && put->peak.shared == 0);
	assert_true(ma_heap_totals(heap->totals).peak.shared == 7);
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

/* Native code below a line is named, and changes neither the line nor the sums. */
static void test_native(void **state)
{
	(void)state;
	static const struct cli_sample native[] = {
		{.frames = {"!libx.so+0x10", "!calloc_it", "!zeros|/src/a.c|7", "f|/srv/a.py|3",
			    "!apply", "g|/srv/a.py|9"},
		 .live = 60,
		 .count = 2},
		{.frames = {"!other", "!zeros|/src/a.c|8", "f|/srv/a.py|3", "g|/srv/a.py|9"},
		 .live = 20,
		 .count = 1},
		{.frames = {"f|/srv/a.py|3", "h|/srv/a.py|12"}, .live = 20, .count = 1},
		{.frames = {"!make", "!work"}, .live = 5, .count = 1},
	};
	Memattach__Profile *profile = cli_profile_make(native, 4);
	struct ma_heap_rows rows;
	ma_heap_rows_make(&rows, profile, 10);
	assert_int_equal(rows.count, 2);
	const struct ma_heap_row *f = &rows.rows[0], *make = &rows.rows[1];
	assert_string_equal(f->place.function, "f");
	assert_string_equal(f->place.module, "");
	assert_int_equal((int)f->figures.live.value, 100);
	assert_string_equal(f->caller.function, "g");
	assert_int_equal((int)(f->caller_share * 100 + 0.5), 80);
	assert_string_equal(f->native.entry.function, "zeros");
	assert_int_equal(f->native.entry.line, 7);
	/* The innermost that has a name. */
	assert_string_equal(f->native.leaf.function, "calloc_it");
	assert_int_equal((int)(f->native.share * 100 + 0.5), 80);
	assert_string_equal(make->place.function, "make");
	assert_string_equal(make->place.module, "?");
	assert_string_equal(make->caller.function, "work");
	assert_string_equal(make->native.entry.function, "");
	ma_heap_rows_fini(&rows);
	memattach__profile__free_unpacked(profile, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_native),
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_sudden_growth_is_shown),
		cmocka_unit_test(test_rank_of_the_dead),
		cmocka_unit_test(test_without_heap),
		cmocka_unit_test(test_empty),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
