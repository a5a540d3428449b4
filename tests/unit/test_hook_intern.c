/* SPDX-License-Identifier: MIT */
/*
 * Stacks and sites in the tables: one id for each different one, whoever asks first; what happens
 * when tables are full or their lock is held, by the living or by the dead; and all of it from
 * several threads at once (this program is also built with the thread sanitizer).
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hook_fake_python.h"
#include "inject/hook/cpu.h"
#include "inject/hook/site.h"
#include "proto/area_check.h"

static struct fake_python python;
static struct ma_tables *tables;

static int set_up(void **state)
{
	(void)state;
	fake_init(&python, 0x030c);
	tables = &python.area->tables;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_fini(&python);
	return 0;
}

/* A walk of `count` frames that is the same for the same seed. */
static struct ma_walk make_walk(uint64_t *frames, uint32_t count, uint64_t seed, uint32_t flags)
{
	struct ma_walk walk = {.frames = frames, .count = count, .flags = flags};

	for (uint32_t i = 0; i < count; i++) {
		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		frames[i] = MA_FRAME(1 + (seed >> 40) % 5000, (seed >> 20) % 3000 * 2);
		walk.hash = ma_walk_mix(walk.hash, frames[i]);
	}
	return walk;
}

static uint32_t site_of(uint32_t count, uint64_t seed, uint32_t flags, uint8_t domain,
			uint8_t thread)
{
	uint64_t frames[MA_MAX_FRAMES];
	struct ma_walk walk = make_walk(frames, count, seed, flags);

	return ma_intern_site(python.area, &python.writer, &walk, domain, thread);
}

/* The site is what was asked for, as the daemon reads it. */
static void check_site(uint32_t id, uint32_t count, uint64_t seed, uint32_t flags, uint8_t domain,
		       uint8_t thread)
{
	uint64_t want[MA_MAX_FRAMES], have[MA_MAX_FRAMES];
	struct ma_stack stack;
	struct ma_site site;

	make_walk(want, count, seed, flags);
	assert_int_equal(ma_site_copy(tables, id, &site), 0);
	assert_int_equal(site.domain, domain);
	assert_int_equal(site.thread, thread);
	if (!count) {
		assert_int_equal(site.stack, 0);
		assert_int_equal(site.flags, flags);
		return;
	}
	assert_int_equal(site.flags, 0);
	assert_int_equal(ma_stack_copy(tables, site.stack, &stack, have), 0);
	assert_int_equal(stack.frame_count, count);
	assert_int_equal(stack.flags, flags);
	assert_memory_equal(have, want, count * sizeof(*want));
}

static void intern_once(void **state)
{
	uint32_t first = site_of(30, 1, 0, MA_DOMAIN_OBJECT, 1);

	(void)state;
	check_site(first, 30, 1, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(first, 1);
	assert_int_equal(site_of(30, 1, 0, MA_DOMAIN_OBJECT, 1), first);
	assert_int_equal(tables->site_count, 1);
	assert_int_equal(tables->stack_used, 1 + 2 + 30);
	/* Another domain or thread: another site, the same stack. */
	assert_int_equal(site_of(30, 1, 0, MA_DOMAIN_MEM, 1), 2);
	assert_int_equal(site_of(30, 1, 0, MA_DOMAIN_OBJECT, 2), 3);
	assert_int_equal(tables->stack_used, 1 + 2 + 30);
	/* Another end, another length, other flags: another stack. */
	assert_int_equal(site_of(29, 1, 0, MA_DOMAIN_OBJECT, 1), 4);
	assert_int_equal(site_of(30, 1, MA_STACK_TRUNCATED, MA_DOMAIN_OBJECT, 1), 5);
	check_site(5, 30, 1, MA_STACK_TRUNCATED, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(site_of(MA_MAX_FRAMES, 2, 0, MA_DOMAIN_OBJECT, 1), 6);
	check_site(6, MA_MAX_FRAMES, 2, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(tables->lock, 0);
}

static void intern_without_stack(void **state)
{
	uint32_t none = site_of(0, 0, MA_STACK_NO_PYTHON, MA_DOMAIN_MALLOC, 3);

	(void)state;
	check_site(none, 0, 0, MA_STACK_NO_PYTHON, MA_DOMAIN_MALLOC, 3);
	assert_int_equal(site_of(0, 0, MA_STACK_NO_PYTHON, MA_DOMAIN_MALLOC, 3), none);
	assert_true(site_of(0, 0, MA_STACK_FOREIGN, MA_DOMAIN_MALLOC, 3) != none);
	assert_int_equal(tables->stack_used, 1);
}

/* Same hash, other frames: both are kept, and told apart. */
static void intern_collision(void **state)
{
	uint64_t frames[2][3];
	struct ma_walk one = make_walk(frames[0], 3, 1, 0), two = make_walk(frames[1], 3, 2, 0);
	uint32_t site;

	(void)state;
	two.hash = one.hash;
	site = ma_intern_site(python.area, &python.writer, &one, MA_DOMAIN_OBJECT, 1);
	assert_true(ma_intern_site(python.area, &python.writer, &two, MA_DOMAIN_OBJECT, 1) != site);
	assert_int_equal(tables->site_count, 2);
	check_site(1, 3, 1, 0, MA_DOMAIN_OBJECT, 1);
}

static void stacks_full(void **state)
{
	uint32_t last, fallback;

	(void)state;
	tables->stack_used = MA_STACK_WORDS - 12;
	last = site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1);
	check_site(last, 10, 1, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(tables->stack_used, MA_STACK_WORDS);
	assert_int_equal(python.area->counters.tables_full, 0);
	fallback = site_of(1, 2, 0, MA_DOMAIN_OBJECT, 1);
	check_site(fallback, 0, 0, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(site_of(2, 3, 0, MA_DOMAIN_OBJECT, 1), fallback);
	assert_int_equal(python.area->counters.tables_full, 2);
	assert_int_equal(site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1), last);
	tables->stack_used = UINT64_MAX; /* nonsense there must not lead outside */
	assert_int_equal(site_of(1, 2, 0, MA_DOMAIN_OBJECT, 1), fallback);
	tables->stack_used = 0;
	assert_int_equal(site_of(1, 2, 0, MA_DOMAIN_OBJECT, 1), fallback);
}

static void index_full(void **state)
{
	uint64_t frames[10];
	struct ma_walk walk = make_walk(frames, 10, 1, 0);
	uint32_t site;

	(void)state;
	/* Indexes that are full of other things, or of nonsense. */
	memset(tables->stack_index, 0xff, sizeof(tables->stack_index));
	site = ma_intern_site(python.area, &python.writer, &walk, MA_DOMAIN_OBJECT, 1);
	check_site(site, 0, 0, 0, MA_DOMAIN_OBJECT, 1);
	memset(tables->site_index, 0xff, sizeof(tables->site_index));
	assert_int_equal(ma_intern_site(python.area, &python.writer, &walk, MA_DOMAIN_OBJECT, 1),
			 0);
	assert_int_equal(python.area->counters.tables_full, 2);
}

static void sites_full(void **state)
{
	uint32_t fallback, others = 0;

	(void)state;
	tables->site_count = MA_SITES - MA_SITE_RESERVE - 2;
	check_site(site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1), 10, 1, 0, MA_DOMAIN_OBJECT, 1);
	fallback = site_of(10, 2, 0, MA_DOMAIN_OBJECT, 1);
	check_site(fallback, 0, 0, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(python.area->counters.tables_full, 1);
	/* There is room for every domain, thread and reason. */
	for (uint8_t domain = MA_DOMAIN_OBJECT; domain <= MA_DOMAIN_MMAP; domain++)
		for (uint8_t thread = 0; thread < MA_THREAD_SLOTS; thread++) {
			others += site_of(10, 2, 0, domain, thread) != 0;
			for (uint32_t flag = 1; flag <= MA_STACK_FOREIGN; flag <<= 1)
				others += site_of(0, 0, flag, domain, thread) != 0;
		}
	assert_int_equal(others, 4 * MA_THREAD_SLOTS * 6);
	tables->site_count = MA_SITES - 1;
	assert_int_equal(site_of(0, 0, 0xff, MA_DOMAIN_OBJECT, 1), fallback);
	tables->site_count = UINT32_MAX;
	assert_int_equal(site_of(0, 0, 0xfe, MA_DOMAIN_OBJECT, 1), fallback);
}

static void lock_held(void **state)
{
	struct ma_writer other = {.owner = 99, .second_ticks = UINT64_MAX};
	uint32_t known = site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1), fallback;

	(void)state;
	assert_true(ma_tables_lock(tables, &other));
	assert_int_equal(site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1), known);
	assert_int_equal(python.area->counters.tables_busy, 0);
	assert_int_equal(site_of(10, 2, 0, MA_DOMAIN_OBJECT, 1), 0);
	assert_int_equal(python.area->counters.tables_busy, 1);
	ma_tables_unlock(tables, 99);
	fallback = site_of(0, 0, 0, MA_DOMAIN_OBJECT, 1);
	assert_true(ma_tables_lock(tables, &other));
	assert_int_equal(site_of(10, 2, 0, MA_DOMAIN_OBJECT, 1), fallback);
	assert_int_equal(python.area->counters.tables_busy, 2);
	ma_tables_unlock(tables, 98); /* somebody else's lock stays */
	assert_int_equal(tables->lock, 99);
	ma_tables_unlock(tables, 99);
	assert_int_equal(tables->lock, 0);
}

static void lock_of_the_dead(void **state)
{
	uint64_t stack_used, code_used;
	uint32_t site;

	(void)state;
	/* A holder of long ago, and one that died before it set its clock. */
	tables->lock = 4711;
	tables->lock_tsc = 1;
	stack_used = tables->stack_used;
	code_used = tables->code_used;
	site = site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1);
	check_site(site, 10, 1, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(tables->lock, 0);
	/* What it may have begun to write is left alone, and it cannot publish it any more. */
	assert_true(tables->sites[site].stack >= stack_used + MA_STACK_RECORD_WORDS);
	assert_true(tables->code_used >= code_used + MA_CODE_RECORD_WORDS);
	assert_false(ma_tables_publish(&tables->stack_used, stack_used, 12));
	assert_false(ma_tables_publish(&tables->code_used, code_used, 12));

	tables->lock = 4711;
	tables->lock_tsc = 0;
	python.writer.second_ticks = 1000;
	assert_int_equal(site_of(10, 2, 0, MA_DOMAIN_OBJECT, 1), 0);
	assert_int_equal(tables->lock, 4711);
	check_site(site_of(10, 2, 0, MA_DOMAIN_OBJECT, 1), 10, 2, 0, MA_DOMAIN_OBJECT, 1);

	/* A taker-over near the end of a log does not pass it. */
	tables->lock = 4711;
	tables->lock_tsc = 1;
	tables->stack_used = MA_STACK_WORDS - 5;
	check_site(site_of(10, 3, 0, MA_DOMAIN_OBJECT, 1), 0, 0, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(tables->stack_used, MA_STACK_WORDS);
}

/* Who waits is not turned away by a holder who may be alive. */
static void patient(void **state)
{
	(void)state;
	tables->lock = 4711;
	tables->lock_tsc = ma_cpu_ticks();
	python.writer.patient = true;
	python.writer.second_ticks = 1 << 26; /* some hundredths of a second */
	check_site(site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1), 10, 1, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(python.area->counters.tables_busy, 0);
}

/* A late holder's site record in the way costs one id. */
static void site_taken(void **state)
{
	uint32_t site;

	(void)state;
	tables->sites[1].domain = MA_DOMAIN_MMAP;
	site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1);
	site = site_of(10, 1, 0, MA_DOMAIN_OBJECT, 1);
	check_site(site, 10, 1, 0, MA_DOMAIN_OBJECT, 1);
	assert_int_equal(tables->sites[1].domain, MA_DOMAIN_MMAP);
}

/* ---- several threads ---- */

enum { THREADS = 4, STACKS = 600, CODES = 64, ROUNDS = 20000 };

static uint32_t found[THREADS][STACKS];
static uint64_t codes[THREADS][CODES];
static pthread_barrier_t start;

/* Interns stacks that all threads intern; walks code objects of its own, which come and go. */
static void *work(void *argument)
{
	uint32_t self = (uint32_t)(uintptr_t)argument;
	uint64_t frames[MA_MAX_FRAMES], seed = self + 1;
	struct ma_writer writer = {.owner = self + 1, .second_ticks = UINT64_MAX};
	uintptr_t failures = 0;

	pthread_barrier_wait(&start);
	for (int round = 0; round < ROUNDS; round++) {
		struct ma_walk walk;
		uint32_t which, site, code;
		bool busy = false;

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		which = (uint32_t)(seed >> 33) % STACKS;
		walk = make_walk(frames, 1 + which % 40, which, 0);
		site = ma_intern_site(python.area, &writer, &walk, MA_DOMAIN_OBJECT, 1);
		/* 0 is an answer while another thread has the lock; any other is the same always.
		 */
		if (site && python.area->tables.sites[site].stack) {
			failures += found[self][which] && found[self][which] != site;
			found[self][which] = site;
		}
		which = (uint32_t)(seed >> 20) % CODES;
		code = ma_codes_find(tables, codes[self][which]);
		if (code == MA_CODE_UNSEEN)
			code = ma_codes_describe(python.area, &python.config.layout, &writer,
						 codes[self][which], &busy);
		failures += !busy && !code;
		if (seed >> 60 == 0)
			ma_codes_remove(tables, codes[self][which]);
	}
	return (void *)failures;
}

static void several_threads(void **state)
{
	pthread_t threads[THREADS];
	char name[32];

	(void)state;
	memset(found, 0, sizeof(found));
	for (int t = 0; t < THREADS; t++)
		for (int i = 0; i < CODES; i++) {
			/* Half of the contents are the same in all threads. */
			snprintf(name, sizeof(name), "code_%d_%d", i % 2 ? t : 0, i);
			codes[t][i] = fake_code(&python, name, i);
		}
	assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
	for (uintptr_t t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, work, (void *)t), 0);
	for (int t = 0; t < THREADS; t++) {
		void *failures;

		assert_int_equal(pthread_join(threads[t], &failures), 0);
		assert_null(failures);
	}
	pthread_barrier_destroy(&start);
	for (uint32_t which = 0; which < STACKS; which++) {
		uint32_t id = 0;

		for (int t = 0; t < THREADS; t++) {
			if (!found[t][which])
				continue;
			assert_true(!id || id == found[t][which]);
			id = found[t][which];
		}
		if (id)
			check_site(id, 1 + which % 40, which, 0, MA_DOMAIN_OBJECT, 1);
	}
	/* Nobody waited, nobody died: every stack once, none twice. */
	assert_in_range(tables->site_count, STACKS / 2, STACKS + 1);
	assert_int_equal(tables->lock, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(intern_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(intern_without_stack, set_up, tear_down),
		cmocka_unit_test_setup_teardown(intern_collision, set_up, tear_down),
		cmocka_unit_test_setup_teardown(stacks_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(index_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sites_full, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lock_held, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lock_of_the_dead, set_up, tear_down),
		cmocka_unit_test_setup_teardown(patient, set_up, tear_down),
		cmocka_unit_test_setup_teardown(site_taken, set_up, tear_down),
		cmocka_unit_test_setup_teardown(several_threads, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
