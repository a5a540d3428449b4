/* SPDX-License-Identifier: MIT */
/*
 * Random windows in the hook: a made-up table of Python's whose word for malloc changes when the
 * program frees, records that carry the window, and nothing in them of what passed by.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hook_fake.h"
#include "inject/hook/entries.h"
#include "inject/hook/state.h"
#include "inject/hook/tls.h"
#include "inject/hook/windows.h"

enum { WORD_MALLOC = 1, TABLE_WORDS = 5, INTERVAL = 1 };

static uint64_t obj_table[TABLE_WORDS], mem_table[TABLE_WORDS];
static struct ma_thunk_data thunks;

static void *py_malloc(void *context, size_t bytes)
{
	(void)context;
	return bytes > FAKE_SMALL_LIMIT ? ma_malloc_sampled(bytes) : malloc(bytes);
}

static void *py_realloc(void *context, void *block, size_t bytes)
{
	free(block);
	return py_malloc(context, bytes);
}

static uint64_t address_of(void *(*function)(void *, size_t))
{
	return (uint64_t)(uintptr_t)function;
}

static int begin(void **state)
{
	typedef void any(void);

	(void)state;
	if (!fake_begin(MA_MODE_SAMPLED, MA_AREA_SAMPLED_BYTES))
		return -1;
	ma_hook.area->tables.sites[FAKE_SITE].domain = MA_DOMAIN_OBJECT;
	ma_hook.area->control.interval_bytes = INTERVAL;
	ma_hook.area->ident.obj_table = (uint64_t)(uintptr_t)obj_table;
	ma_hook.area->ident.mem_table = (uint64_t)(uintptr_t)mem_table;
	ma_hook.config->promotes = 1;
	ma_hook.config->thunk_code = 0x5550000;
	ma_hook.thunks = &thunks;
	fake_next(MA_FN_MALLOC, (any *)malloc);
	fake_next(MA_FN_REALLOC, (any *)realloc);
	fake_next(MA_FN_FREE, (any *)free);
	fake_next(MA_FN_OBJ_MALLOC, (any *)py_malloc);
	fake_next(MA_FN_OBJ_REALLOC, (any *)py_realloc);
	fake_next(MA_FN_MEM_REALLOC, (any *)py_realloc);
	thunks.next[MA_FN_OBJ_MALLOC] = address_of(py_malloc);
	thunks.next[MA_FN_MEM_MALLOC] = address_of(py_malloc) + 1;
	obj_table[WORD_MALLOC] = ma_thunk_address(MA_FN_OBJ_MALLOC);
	mem_table[WORD_MALLOC] = ma_thunk_address(MA_FN_MEM_MALLOC);
	return 0;
}

static void want(uint32_t start_ms, uint32_t exponent, uint64_t closed)
{
	ma_hook.area->control.window = MA_WINDOW(start_ms, exponent, closed);
	ma_hook.area->control.clock_ms = start_ms;
}

static void check_tables(bool open)
{
	assert_int_equal(obj_table[WORD_MALLOC],
			 open ? ma_thunk_address(MA_FN_OBJ_MALLOC) : address_of(py_malloc));
	assert_int_equal(mem_table[WORD_MALLOC],
			 open ? ma_thunk_address(MA_FN_MEM_MALLOC) : address_of(py_malloc) + 1);
}

/* Turned to by freeing and by both kinds of reallocation, and told so; by nothing else. */
static void test_turns(void **state)
{
	void *block = malloc(10);

	(void)state;
	want(5, 2, MA_WINDOW_CLOSED);
	free(ma_malloc_sampled(10));
	check_tables(true);
	ma_free_sampled(malloc(10));
	check_tables(false);
	assert_int_equal(ma_hook.area->counters.window, MA_WINDOW(5, 2, 1));
	want(7, 2, 0);
	block = ma_realloc_sampled(block, 20);
	fake_take();
	check_tables(true);
	want(9, 2, MA_WINDOW_CLOSED);
	/* A large one is left to what is behind it: the C library's are hooked themselves. */
	block = ma_obj_realloc_sampled(NULL, block, FAKE_SMALL_LIMIT + 1);
	fake_take();
	check_tables(true);
	block = ma_obj_realloc_sampled(NULL, block, 20);
	fake_take();
	check_tables(false);
	want(0, 0, 0);
	ma_free_sampled(block);
	check_tables(true);
	assert_int_equal(ma_hook.area->counters.window, 0);
}

/* An allocation in a window carries it; others carry none. */
static void test_records(void **state)
{
	void *block;

	(void)state;
	want(70, 4, 0);
	ma_free_sampled(NULL);
	ma_hook.area->control.clock_ms = 71;
	block = ma_obj_malloc_sampled(NULL, 40);
	assert_int_equal(fake_take(), 1);
	assert_int_equal(fake_events[0].rate, INTERVAL | UINT32_C(4) << MA_RATE_WINDOW_SHIFT);
	assert_int_equal(fake_events[0].clock_ms, 70);
	assert_int_equal(fake_events[0].domain, MA_DOMAIN_OBJECT);
	ma_hook.area->control.clock_ms = 90;
	ma_free_sampled(block);
	assert_int_equal(fake_take(), 1);
	assert_int_equal(fake_events[0].kind, MA_EVENT_FREE);
	assert_int_equal(fake_events[0].rate, INTERVAL | UINT32_C(4) << MA_RATE_WINDOW_SHIFT);
	assert_int_equal(fake_events[0].clock_ms, 70);
	block = ma_malloc_sampled(40);
	assert_int_equal(fake_take(), 1);
	assert_int_equal(fake_events[0].rate, INTERVAL);
	assert_int_equal(fake_events[0].clock_ms, 90);
	ma_free_sampled(block);
}

/* Somebody keeps our thunk, and calls it while the window is closed: not recorded, nor is a large
 * block that goes on to malloc lost. */
static void test_closed(void **state)
{
	(void)state;
	want(5, 1, MA_WINDOW_CLOSED);
	ma_free_sampled(NULL);
	for (int i = 0; i < 10; i++)
		free(ma_obj_malloc_sampled(NULL, 40));
	assert_int_equal(fake_take(), 0);
	assert_int_equal(ma_hook.area->counters.dropped_allocs, 0);
	ma_free_sampled(ma_obj_malloc_sampled(NULL, 4000));
	assert_int_equal(fake_take(), 2);
	assert_int_equal(fake_events[0].domain, MA_DOMAIN_MALLOC);
	assert_int_equal(fake_events[0].rate, INTERVAL);
}

/* What another tool has put into a table stays there, and so does what it finds when it goes. */
static void test_foreign_words(void **state)
{
	(void)state;
	obj_table[WORD_MALLOC] = 0x1234;
	want(5, 1, MA_WINDOW_CLOSED);
	ma_free_sampled(NULL);
	assert_int_equal(obj_table[WORD_MALLOC], 0x1234);
	want(6, 1, 0);
	ma_free_sampled(NULL);
	assert_int_equal(obj_table[WORD_MALLOC], 0x1234);
	assert_int_equal(mem_table[WORD_MALLOC], ma_thunk_address(MA_FN_MEM_MALLOC));
}

/* In a child of fork nothing turns, and it does not ask at every free. */
static void test_gate_closed(void **state)
{
	(void)state;
	*ma_hook.gate = 0;
	want(5, 1, MA_WINDOW_CLOSED);
	ma_free_sampled(NULL);
	check_tables(true);
	assert_false(ma_windows_are_due());
	assert_int_equal(ma_hook.area->counters.window, 0);
}

/* One thread turns at a time; one that died while it did is not waited for. */
static void test_one_at_a_time(void **state)
{
	(void)state;
	want(5, 1, MA_WINDOW_CLOSED);
	ma_hook.turning = ma_cpu_ticks();
	ma_free_sampled(NULL);
	check_tables(true);
	assert_true(ma_windows_are_due());
	ma_hook.turning += 1 << 20; /* it began after we looked at the clock */
	ma_free_sampled(NULL);
	check_tables(true);
	ma_hook.turning -= UINT64_C(1) << 31;
	ma_free_sampled(NULL);
	check_tables(false);
	assert_int_equal(ma_hook.turning, 0);
}

static void test_stop(void **state)
{
	(void)state;
	want(5, 1, MA_WINDOW_CLOSED);
	ma_windows_stop();
	ma_free_sampled(NULL);
	check_tables(true);
	/* Whoever turned when it was stopped for good does not give that back. */
	ma_hook.turning = ma_cpu_ticks();
	ma_windows_stop();
	ma_free_sampled(NULL);
	check_tables(true);
}

enum { THREADS = 3, WINDOWS = 20000 };

static bool done;

static void *free_all_the_time(void *turned)
{
	uint64_t seen = 0;

	while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
		uint64_t now = ma_windows_now();

		*(uint64_t *)turned += now != seen;
		seen = now;
		ma_free_sampled(NULL);
	}
	return NULL;
}

/* Many threads free while windows go by: the tables hold one of two words, and in the end the last
 * window's. */
static void test_threads(void **state)
{
	pthread_t thread[THREADS];
	uint64_t turned[THREADS] = {0};

	(void)state;
	done = false;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, free_all_the_time, &turned[i]),
				 0);
	for (uint32_t i = 1; i <= WINDOWS; i++) {
		uint64_t word;

		want(i, 1, i % 3 == 0);
		if (i % 64 == 0)
			sched_yield();
		word = __atomic_load_n(&obj_table[WORD_MALLOC], __ATOMIC_RELAXED);
		assert_true(word == ma_thunk_address(MA_FN_OBJ_MALLOC) ||
			    word == address_of(py_malloc));
	}
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_true(turned[0] + turned[1] + turned[2] > 0);
	for (uint64_t closed = 0; closed < 2; closed++) {
		want(WINDOWS + 1, 1, closed);
		ma_free_sampled(NULL);
		check_tables(!closed);
		assert_int_equal(ma_hook.turning, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_turns, begin),
		cmocka_unit_test_setup(test_records, begin),
		cmocka_unit_test_setup(test_closed, begin),
		cmocka_unit_test_setup(test_foreign_words, begin),
		cmocka_unit_test_setup(test_gate_closed, begin),
		cmocka_unit_test_setup(test_one_at_a_time, begin),
		cmocka_unit_test_setup(test_threads, begin),
		cmocka_unit_test_setup(test_stop, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
