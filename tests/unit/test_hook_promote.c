/* SPDX-License-Identifier: MIT */
/*
 * Promotion of small blocks, over a made-up pymalloc that sends large requests to the hooked
 * malloc, as CPython's does, and sees its frees alone: whatever is recorded is told of when it is
 * freed, holds what it held, and has the size that was asked for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hook_fake.h"
#include "inject/hook/entries.h"
#include "inject/hook/promote.h"
#include "inject/hook/record.h"
#include "inject/hook/state.h"
#include "proto/area_check.h"

enum { POOL_BYTES = 1 << 16 };

static _Alignas(16) uint8_t pool[POOL_BYTES];
static size_t pool_used;
static int pool_frees; /* how many blocks of the pool were given back */
static bool malloc_fails;
static bool raw_elsewhere; /* large requests go to an allocator that nobody hooks */
static bool cut_moves;     /* a C library whose realloc moves what shrinks */

static bool in_pool(const void *block)
{
	return (uint64_t)((const uint8_t *)block - pool) < POOL_BYTES;
}

static void *next_malloc(size_t bytes)
{
	return malloc_fails ? NULL : malloc(bytes);
}

static void *next_calloc(size_t count, size_t size)
{
	return malloc_fails ? NULL : calloc(count, size);
}

static void *next_realloc(void *block, size_t bytes)
{
	void *moved;

	if (malloc_fails)
		return NULL;
	if (!cut_moves)
		return realloc(block, bytes);
	moved = malloc(bytes);
	assert_non_null(moved);
	memcpy(moved, block, bytes);
	free(block);
	return moved;
}

static void *py_malloc(void *context, size_t bytes)
{
	uint8_t *block = pool + pool_used;

	assert_null(context);
	if (bytes - 1 >= FAKE_SMALL_LIMIT)
		return raw_elsewhere ? malloc(bytes) : ma_malloc_sampled(bytes);
	pool_used += (bytes + 15) & ~(size_t)15;
	assert_true(pool_used <= POOL_BYTES);
	memset(block, 0xa5, bytes);
	return block;
}

static void *py_calloc(void *context, size_t count, size_t size)
{
	void *block = py_malloc(context, count * size);

	return block ? memset(block, 0, count * size) : NULL;
}

static void py_free(void *context, void *block)
{
	assert_null(context);
	if (!block)
		return;
	if (in_pool(block))
		pool_frees++;
	else if (raw_elsewhere)
		free(block);
	else
		ma_free_sampled(block);
}

/* As CPython's: what malloc gave stays malloc's; what grows out of a pool moves. */
static void *py_realloc(void *context, void *block, size_t bytes)
{
	void *moved;

	if (!block)
		return py_malloc(context, bytes);
	if (!in_pool(block))
		return ma_realloc_sampled(block, bytes);
	moved = py_malloc(context, bytes);
	if (!moved)
		return NULL;
	memcpy(moved, block, bytes < 64 ? bytes : 64);
	py_free(context, block);
	return moved;
}

static int begin(void **state)
{
	typedef void any(void);

	(void)state;
	if (!fake_begin(MA_MODE_SAMPLED, MA_AREA_SAMPLED_BYTES))
		return -1;
	ma_hook.area->tables.sites[FAKE_SITE].domain = MA_DOMAIN_OBJECT;
	ma_hook.config->promotes = 1;
	fake_next(MA_FN_MALLOC, (any *)next_malloc);
	fake_next(MA_FN_CALLOC, (any *)next_calloc);
	fake_next(MA_FN_REALLOC, (any *)next_realloc);
	fake_next(MA_FN_FREE, (any *)free);
	fake_next(MA_FN_OBJ_MALLOC, (any *)py_malloc);
	fake_next(MA_FN_OBJ_CALLOC, (any *)py_calloc);
	fake_next(MA_FN_OBJ_REALLOC, (any *)py_realloc);
	fake_next(MA_FN_MEM_REALLOC, (any *)py_realloc);
	fake_next(MA_FN_MEM_MALLOC, (any *)py_malloc);
	pool_used = 0;
	pool_frees = 0;
	malloc_fails = raw_elsewhere = cut_moves = false;
	return 0;
}

/* One event, of this kind and block. */
static void check_one(enum ma_event_kind kind, const void *block, size_t bytes,
		      enum ma_domain domain)
{
	assert_int_equal(fake_take(), 1);
	assert_int_equal(fake_events[0].kind, kind);
	assert_int_equal(fake_events[0].address, (uint64_t)(uintptr_t)block);
	assert_int_equal(fake_events[0].size_bytes, bytes);
	assert_int_equal(fake_events[0].domain, domain);
}

static void test_small(void **state)
{
	uint8_t *block = ma_obj_malloc_sampled(NULL, 40), *other;

	(void)state;
	assert_false(in_pool(block));
	assert_int_equal(pool_frees, 1);
	check_one(MA_EVENT_ALLOC, block, 40, MA_DOMAIN_OBJECT);
	other = ma_mem_malloc_sampled(NULL, 512);
	check_one(MA_EVENT_ALLOC, other, 512, MA_DOMAIN_MEM);
	py_free(NULL, block);
	check_one(MA_EVENT_FREE, block, 40, MA_DOMAIN_OBJECT);
	py_free(NULL, other);
	check_one(MA_EVENT_FREE, other, 512, MA_DOMAIN_MEM);
	assert_int_equal(ma_hook.area->counters.dropped_allocs, 0);
	assert_int_equal(ma_hook.area->counters.reentered, 0);
}

static void test_zeroed(void **state)
{
	uint8_t *block = ma_obj_calloc_sampled(NULL, 5, 9);

	(void)state;
	assert_false(in_pool(block));
	check_one(MA_EVENT_ALLOC, block, 45, MA_DOMAIN_OBJECT);
	for (int i = 0; i < 45; i++)
		assert_int_equal(block[i], 0);
	py_free(NULL, block);
	assert_int_equal(fake_take(), 1);
}

static void test_realloc_keeps_contents(void **state)
{
	uint8_t *small = py_malloc(NULL, 48), *block;

	(void)state;
	memcpy(small, "0123456789abcdef0123456789abcdef", 32);
	block = ma_mem_realloc_sampled(NULL, small, 64);
	assert_false(in_pool(block));
	assert_memory_equal(block, "0123456789abcdef0123456789abcdef", 32);
	check_one(MA_EVENT_ALLOC, block, 64, MA_DOMAIN_MEM);
	/* From now on it is malloc's: counted once, by malloc's hook. */
	block = ma_mem_realloc_sampled(NULL, block, 80);
	assert_memory_equal(block, "0123456789abcdef0123456789abcdef", 32);
	assert_int_equal(fake_take(), 2);
	assert_int_equal(fake_events[0].kind, MA_EVENT_FREE);
	assert_int_equal(fake_events[0].size_bytes, 64);
	assert_int_equal(fake_events[1].kind, MA_EVENT_ALLOC);
	assert_int_equal(fake_events[1].size_bytes, 80);
	py_free(NULL, block);
	check_one(MA_EVENT_FREE, block, 80, MA_DOMAIN_MALLOC);
}

static void test_realloc_below_python(void **state)
{
	uint8_t *block = ma_obj_malloc_sampled(NULL, 40), *moved;

	(void)state;
	assert_int_equal(fake_take(), 1);
	moved = ma_realloc_sampled(block, 4000);
	assert_int_equal(fake_take(), 2);
	assert_int_equal(fake_events[0].kind, MA_EVENT_FREE);
	assert_int_equal(fake_events[0].domain, MA_DOMAIN_OBJECT);
	assert_int_equal(fake_events[1].kind, MA_EVENT_ALLOC);
	ma_free_sampled(moved);
	assert_int_equal(fake_take(), 1);
}

static void test_moves_when_cut(void **state)
{
	uint8_t *block;

	(void)state;
	cut_moves = true;
	block = ma_obj_malloc_sampled(NULL, 40);
	check_one(MA_EVENT_ALLOC, block, 40, MA_DOMAIN_OBJECT);
	py_free(NULL, block);
	check_one(MA_EVENT_FREE, block, 40, MA_DOMAIN_OBJECT);
}

/* Memory runs out: the small block is what the caller gets, unrecorded and counted. */
static void test_no_memory(void **state)
{
	uint8_t *block;

	(void)state;
	malloc_fails = true;
	block = ma_obj_malloc_sampled(NULL, 40);
	assert_true(in_pool(block));
	assert_int_equal(fake_take(), 0);
	assert_int_equal(pool_frees, 0);
	assert_int_equal(ma_hook.area->counters.dropped_allocs, 1);
	malloc_fails = false;
	py_free(NULL, ma_obj_malloc_sampled(NULL, 40));
	assert_int_equal(fake_take(), 2);
}

/* What malloc's hook has not handed out would never be seen again. */
static void test_raw_elsewhere(void **state)
{
	uint8_t *block;

	(void)state;
	raw_elsewhere = true;
	block = ma_obj_malloc_sampled(NULL, 40);
	assert_int_equal(fake_take(), 0);
	assert_int_equal(ma_hook.area->counters.dropped_allocs, 1);
	py_free(NULL, block);
	assert_int_equal(fake_take(), 0);
}

/* What is not drawn is not touched, and large blocks are left to malloc's hook. */
static void test_passes(void **state)
{
	uint8_t *block;

	(void)state;
	ma_hook.area->control.interval_bytes = 64 << 20;
	ma_tls()->interval = 0;
	ma_tls()->left = 0;
	block = ma_obj_malloc_sampled(NULL, 1);
	while (!in_pool(block)) { /* drawn at once: one in 64 million */
		py_free(NULL, block);
		block = ma_obj_malloc_sampled(NULL, 1);
	}
	ma_tls()->left = 1000;
	block = ma_obj_malloc_sampled(NULL, 100);
	assert_true(in_pool(block));
	assert_int_equal(ma_tls()->left, 900);
	fake_take();
	ma_tls()->left = 10;
	block = ma_obj_malloc_sampled(NULL, 2000);
	check_one(MA_EVENT_ALLOC, block, 2000, MA_DOMAIN_MALLOC);
	py_free(NULL, block);
	check_one(MA_EVENT_FREE, block, 2000, MA_DOMAIN_MALLOC);
}

/* Where frees are hooked, blocks stay where they are. */
static void test_not_promoting(void **state)
{
	uint8_t *block;

	(void)state;
	ma_hook.config->promotes = 0;
	block = ma_obj_malloc_sampled(NULL, 40);
	assert_true(in_pool(block));
	check_one(MA_EVENT_ALLOC, block, 40, MA_DOMAIN_OBJECT);
	assert_ptr_equal(ma_record_free_sampled(block), block);
	check_one(MA_EVENT_FREE, block, 40, MA_DOMAIN_OBJECT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_small, begin),
		cmocka_unit_test_setup(test_zeroed, begin),
		cmocka_unit_test_setup(test_realloc_keeps_contents, begin),
		cmocka_unit_test_setup(test_realloc_below_python, begin),
		cmocka_unit_test_setup(test_moves_when_cut, begin),
		cmocka_unit_test_setup(test_no_memory, begin),
		cmocka_unit_test_setup(test_raw_elsewhere, begin),
		cmocka_unit_test_setup(test_passes, begin),
		cmocka_unit_test_setup(test_not_promoting, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
