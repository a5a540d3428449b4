/* SPDX-License-Identifier: MIT */
/*
 * The entry points and slow paths over made-up allocators: what is told of every way in which an
 * allocation, a free or a reallocation can go, and when nothing must be. The interval is 1, so that
 * everything of some size is sampled.
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
#include "inject/hook/gate.h"
#include "inject/hook/record.h"
#include "inject/hook/state.h"
#include "inject/hook/tls.h"
#include "proto/area_check.h"

static void *answer; /* of the next call of a made-up allocator */
static void *freed;
static void *(*during_python)(size_t bytes);

static void *fake_malloc(size_t bytes)
{
	(void)bytes;
	return answer;
}

static void *fake_calloc(size_t count, size_t size)
{
	(void)count;
	(void)size;
	return answer;
}

static void *fake_realloc(void *block, size_t bytes)
{
	(void)block;
	(void)bytes;
	return answer;
}

static void fake_free(void *block)
{
	freed = block;
}

static int fake_posix_memalign(void **block, size_t alignment, size_t bytes)
{
	(void)alignment;
	(void)bytes;
	*block = answer;
	return answer ? 0 : 12;
}

static void *fake_py_malloc(void *context, size_t bytes)
{
	assert_ptr_equal(context, (void *)0xc0);
	return during_python ? during_python(bytes) : answer;
}

static void *fake_py_realloc(void *context, void *block, size_t bytes)
{
	assert_ptr_equal(context, (void *)0xc0);
	(void)block;
	return during_python ? during_python(bytes) : answer;
}

static void fake_py_free(void *context, void *block)
{
	assert_ptr_equal(context, (void *)0xc0);
	freed = block;
}

static void *fake_mmap(void *address, size_t bytes, int protection, int flags, int fd,
		       int64_t offset)
{
	(void)address;
	(void)bytes;
	assert_int_equal(protection, 3);
	assert_int_equal(flags, 34);
	assert_int_equal(fd, -1);
	assert_int_equal(offset, 5);
	return answer;
}

static int fake_munmap(void *address, size_t bytes)
{
	(void)address;
	(void)bytes;
	return 0;
}

static void *fake_mremap(void *address, size_t old_bytes, size_t new_bytes, int flags,
			 void *new_address)
{
	(void)address;
	(void)old_bytes;
	(void)new_bytes;
	(void)flags;
	assert_ptr_equal(new_address, (void *)0x99000);
	return answer;
}

static void *fake_arena_alloc(void *context, size_t bytes)
{
	(void)context;
	return ma_mmap_entry(NULL, bytes, 3, 34, -1, 5);
}

static void fake_arena_free(void *context, void *arena, size_t bytes)
{
	(void)context;
	ma_munmap_entry(arena, bytes);
}

static void set_all_next(void)
{
	typedef void any(void);

	fake_next(MA_FN_MALLOC, (any *)fake_malloc);
	fake_next(MA_FN_CALLOC, (any *)fake_calloc);
	fake_next(MA_FN_REALLOC, (any *)fake_realloc);
	fake_next(MA_FN_FREE, (any *)fake_free);
	fake_next(MA_FN_POSIX_MEMALIGN, (any *)fake_posix_memalign);
	fake_next(MA_FN_MMAP, (any *)fake_mmap);
	fake_next(MA_FN_MUNMAP, (any *)fake_munmap);
	fake_next(MA_FN_MREMAP, (any *)fake_mremap);
	fake_next(MA_FN_OBJ_MALLOC, (any *)fake_py_malloc);
	fake_next(MA_FN_OBJ_REALLOC, (any *)fake_py_realloc);
	fake_next(MA_FN_OBJ_FREE, (any *)fake_py_free);
	fake_next(MA_FN_MEM_REALLOC, (any *)fake_py_realloc);
	fake_next(MA_FN_ARENA_ALLOC, (any *)fake_arena_alloc);
	fake_next(MA_FN_ARENA_FREE, (any *)fake_arena_free);
}

static int begin(uint32_t mode)
{
	uint64_t bytes = MA_AREA_EXACT_BYTES(4096);

	if (!fake_begin(mode, bytes))
		return -1;
	ma_hook.area->control.clock_ms = 1234;
	ma_hook.area->ident.exact_heap_bytes = 4096 * MA_PAGE_BYTES;
	ma_hook.area->tables.sites[FAKE_SITE].domain = MA_DOMAIN_MALLOC;
	set_all_next();
	freed = NULL;
	during_python = NULL;
	return ma_exact_init(&ma_hook.exact, ma_hook.area, bytes) ? 0 : -1;
}

static int begin_sampled(void **state)
{
	(void)state;
	return begin(MA_MODE_SAMPLED);
}

static int begin_exact(void **state)
{
	(void)state;
	return begin(MA_MODE_EXACT);
}

static void check_event(int n, enum ma_event_kind kind, uint64_t address, uint64_t bytes,
			enum ma_domain domain)
{
	assert_int_equal(fake_events[n].kind, kind);
	assert_int_equal(fake_events[n].address, address);
	assert_int_equal(fake_events[n].size_bytes, bytes);
	assert_int_equal(fake_events[n].domain, domain);
}

static void *malloc_at(uint64_t address, size_t bytes)
{
	answer = (void *)address;
	return ma_malloc_sampled(bytes);
}

static void test_alloc_and_free(void **state)
{
	(void)state;
	assert_ptr_equal(malloc_at(0x1000, 100), (void *)0x1000);
	assert_int_equal(fake_take(), 1);
	check_event(0, MA_EVENT_ALLOC, 0x1000, 100, MA_DOMAIN_MALLOC);
	assert_int_equal(fake_events[0].sequence, 1);
	assert_int_equal(fake_events[0].site, FAKE_SITE);
	assert_int_equal(fake_events[0].rate, 1);
	assert_int_equal(fake_events[0].clock_ms, 1234);
	ma_hook.area->control.clock_ms = 9999;
	ma_free_sampled((void *)0x1000);
	assert_ptr_equal(freed, (void *)0x1000);
	assert_int_equal(fake_code_freed, 0x1000);
	assert_int_equal(fake_take(), 1);
	check_event(0, MA_EVENT_FREE, 0x1000, 100, MA_DOMAIN_MALLOC);
	assert_int_equal(fake_events[0].clock_ms, 1234); /* of its birth */
	ma_free_sampled((void *)0x1000);
	ma_free_sampled((void *)0x2000);
	ma_free_sampled(NULL);
	assert_null(freed);
	assert_int_equal(fake_take(), 0);
	/* Handed out twice: a free that nobody saw. */
	malloc_at(0x1000, 100);
	malloc_at(0x1000, 200);
	assert_int_equal(fake_take(), 3);
	check_event(1, MA_EVENT_FREE_IMPLICIT, 0x1000, 100, MA_DOMAIN_MALLOC);
	check_event(2, MA_EVENT_ALLOC, 0x1000, 200, MA_DOMAIN_MALLOC);
	assert_int_equal(ma_hook.area->counters.implicit_frees, 1);
}

static void test_failures(void **state)
{
	void *block = NULL;
	static const size_t sizes[] = {100, SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX / 4 * 3};

	(void)state;
	malloc_at(0x1000, 100);
	assert_int_equal(fake_take(), 1);
	answer = NULL;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		uint64_t left = ma_tls()->left;

		assert_null(ma_malloc_sampled(sizes[i]));
		assert_null(ma_calloc_sampled(sizes[i], 3));
		assert_null(ma_realloc_sampled(NULL, sizes[i]));
		assert_int_equal(ma_posix_memalign_sampled(&block, 16, sizes[i]), 12);
		assert_null(ma_obj_malloc_sampled((void *)0xc0, sizes[i]));
		/* Never more than before, or the thread would sample nothing for long. */
		assert_true(ma_tls()->left <= left);
	}
	assert_int_equal(fake_take(), 0);
	answer = (void *)0x3000;
	assert_int_equal(ma_posix_memalign_sampled(&block, 16, 300), 0);
	assert_int_equal(fake_take(), 1);
	check_event(0, MA_EVENT_ALLOC, 0x3000, 300, MA_DOMAIN_MALLOC);
}

static void test_reallocation(void **state)
{
	(void)state;
	malloc_at(0x1000, 100);
	fake_take();
	answer = (void *)0x2000;
	assert_ptr_equal(ma_realloc_sampled((void *)0x1000, 300), (void *)0x2000);
	assert_int_equal(fake_take(), 2);
	check_event(0, MA_EVENT_FREE, 0x1000, 100, MA_DOMAIN_MALLOC);
	check_event(1, MA_EVENT_ALLOC, 0x2000, 300, MA_DOMAIN_MALLOC);
	/* In place. */
	ma_realloc_sampled((void *)0x2000, 400);
	assert_int_equal(fake_take(), 2);
	check_event(0, MA_EVENT_FREE, 0x2000, 300, MA_DOMAIN_MALLOC);
	check_event(1, MA_EVENT_ALLOC, 0x2000, 400, MA_DOMAIN_MALLOC);
	/* It fails, and the block is what it was. */
	answer = NULL;
	assert_null(ma_realloc_sampled((void *)0x2000, 500));
	assert_int_equal(fake_take(), 0);
	ma_free_sampled((void *)0x2000);
	assert_int_equal(fake_take(), 1);
	check_event(0, MA_EVENT_FREE, 0x2000, 400, MA_DOMAIN_MALLOC);
	/* realloc(block, 0) frees. */
	malloc_at(0x3000, 100);
	answer = NULL;
	assert_null(ma_realloc_sampled((void *)0x3000, 0));
	assert_int_equal(fake_take(), 2);
	check_event(1, MA_EVENT_FREE, 0x3000, 100, MA_DOMAIN_MALLOC);
	assert_int_equal(ma_hook.area->counters.implicit_frees, 0);
}

static void *python_at(uint64_t address, size_t bytes)
{
	answer = (void *)address;
	return ma_obj_malloc_sampled((void *)0xc0, bytes);
}

/* Python's allocator as it goes on to malloc and realloc, which are hooked too. */
static void *to_malloc(size_t bytes)
{
	return ma_malloc_sampled(bytes);
}

static void *to_realloc(size_t bytes)
{
	return ma_realloc_sampled((void *)0x5000, bytes);
}

static void *to_realloc_debug(size_t bytes)
{
	return (char *)ma_realloc_sampled((void *)0x5000, bytes + 32) + 16;
}

static void test_python(void **state)
{
	(void)state;
	python_at(0x1000, FAKE_SMALL_LIMIT);
	assert_int_equal(fake_take(), 1);
	check_event(0, MA_EVENT_ALLOC, 0x1000, FAKE_SMALL_LIMIT, MA_DOMAIN_OBJECT);
	/* Larger or empty: malloc's to count, once. */
	during_python = to_malloc;
	python_at(0x2000, FAKE_SMALL_LIMIT + 1);
	assert_int_equal(fake_take(), 1);
	check_event(0, MA_EVENT_ALLOC, 0x2000, FAKE_SMALL_LIMIT + 1, MA_DOMAIN_MALLOC);
	python_at(0x3000, 0);
	assert_true(fake_take() <= 1); /* 1 byte at an interval of 1 is not always drawn */
	during_python = NULL;
	ma_obj_free_sampled((void *)0xc0, (void *)0x1000);
	assert_ptr_equal(freed, (void *)0x1000);
	assert_int_equal(fake_take(), 1);
	check_event(0, MA_EVENT_FREE, 0x1000, FAKE_SMALL_LIMIT, MA_DOMAIN_OBJECT);
}

static void test_python_realloc(void **state)
{
	(void)state;
	/* From pymalloc to pymalloc. */
	python_at(0x1000, 100);
	fake_take();
	answer = (void *)0x1800;
	ma_mem_realloc_sampled((void *)0xc0, (void *)0x1000, 200);
	assert_int_equal(fake_take(), 2);
	check_event(0, MA_EVENT_FREE, 0x1000, 100, MA_DOMAIN_OBJECT);
	check_event(1, MA_EVENT_ALLOC, 0x1800, 200, MA_DOMAIN_MEM);
	/* From pymalloc to malloc: the old block goes after the new one came. */
	answer = (void *)0x5000;
	during_python = to_malloc;
	ma_obj_realloc_sampled((void *)0xc0, (void *)0x1800, 700);
	assert_int_equal(fake_take(), 2);
	check_event(0, MA_EVENT_ALLOC, 0x5000, 700, MA_DOMAIN_MALLOC);
	check_event(1, MA_EVENT_FREE, 0x1800, 200, MA_DOMAIN_MEM);
	/* A block of malloc that is shrunk stays malloc's. */
	during_python = to_realloc;
	ma_obj_realloc_sampled((void *)0xc0, (void *)0x5000, 60);
	assert_int_equal(fake_take(), 2);
	check_event(0, MA_EVENT_FREE, 0x5000, 700, MA_DOMAIN_MALLOC);
	check_event(1, MA_EVENT_ALLOC, 0x5000, 60, MA_DOMAIN_MALLOC);
	during_python = to_realloc_debug;
	ma_obj_realloc_sampled((void *)0xc0, (void *)0x5000, 70);
	assert_int_equal(fake_take(), 2);
	check_event(1, MA_EVENT_ALLOC, 0x5000, 102, MA_DOMAIN_MALLOC);
	/* It fails: the block of pymalloc is back. */
	during_python = NULL;
	python_at(0x1000, 100);
	answer = NULL;
	assert_null(ma_obj_realloc_sampled((void *)0xc0, (void *)0x1000, 200));
	ma_obj_free_sampled((void *)0xc0, (void *)0x1000);
	assert_int_equal(fake_take(), 2);
	check_event(1, MA_EVENT_FREE, 0x1000, 100, MA_DOMAIN_OBJECT);
	/* realloc(NULL) allocates. */
	answer = (void *)0x1900;
	ma_obj_realloc_sampled((void *)0xc0, NULL, 90);
	assert_int_equal(fake_take(), 1);
	check_event(0, MA_EVENT_ALLOC, 0x1900, 90, MA_DOMAIN_OBJECT);
}

static void allocate_and_free_inside(void)
{
	fake_during_site = NULL;
	malloc_at(0x8000, 100);
	ma_free_sampled((void *)0x7000);
}

static void test_nested(void **state)
{
	struct ma_counters *counters = &ma_hook.area->counters;

	(void)state;
	malloc_at(0x7000, 100);
	fake_take();
	/* A signal handler allocates in the middle: not sampled, but its frees are seen. */
	fake_during_site = allocate_and_free_inside;
	malloc_at(0x1000, 100);
	assert_int_equal(fake_take(), 2);
	assert_int_equal(counters->reentered, 2);
	assert_int_equal(counters->samples, 2);
	assert_int_equal(counters->sample_frees, 1);
	assert_int_equal(ma_tls()->inside, 0);
	malloc_at(0x2000, 100);
	assert_int_equal(fake_take(), 1);
}

static void test_left_behind(void **state)
{
	uint64_t here;
	int recorded = 0;

	(void)state;
	malloc_at(0x1000, 100);
	fake_take();
	/* By a frame that was deeper than we are now: taken over at once. */
	ma_tls()->inside = (uint64_t)(uintptr_t)&here - 100000;
	malloc_at(0x2000, 100);
	assert_int_equal(fake_take(), 1);
	/* By one that was less deep: after some hundred visits. */
	ma_tls()->inside = UINT64_MAX;
	for (int i = 0; i < 300 && !recorded; i++) {
		malloc_at(0x3000, 100);
		recorded = fake_take();
	}
	assert_int_equal(recorded, 1);
	assert_int_equal(ma_tls()->inside, 0);
	/* So was its ring. */
	ma_hook.area->rings[ma_tls()->slot % MA_RINGS].claim = ma_tls()->tid;
	malloc_at(0x4000, 100);
	assert_int_equal(fake_take(), 1);
	assert_int_equal(ma_hook.area->rings[ma_tls()->slot % MA_RINGS].claim, 0);
}

static void test_gate(void **state)
{
	(void)state;
	malloc_at(0x1000, 100);
	fake_take();
	*ma_hook.gate = 0;
	for (int i = 0; i < 1000; i++)
		malloc_at(0x2000, 100);
	ma_free_sampled((void *)0x1000);
	answer = (void *)0x10000;
	ma_mmap_entry(NULL, 4096, 3, 34, -1, 5);
	assert_int_equal(fake_take(), 0);
	assert_int_equal(ma_hook.area->counters.samples, 1);
	*ma_hook.gate = 1;
	ma_free_sampled((void *)0x1000);
	malloc_at(0x3000, MA_RECHECK_CLOSED_BYTES);
	malloc_at(0x3000, MA_RECHECK_CLOSED_BYTES);
	assert_true(fake_take() >= 2);
}

static void test_switched_off(void **state)
{
	struct ma_area *area = ma_hook.area;

	(void)state;
	malloc_at(0x1000, 100);
	fake_take();
	area->control.enabled = 0;
	malloc_at(0x2000, 100);
	assert_int_equal(area->counters.fault, MA_FAULT_NONE);
	area->control.enabled = 1;
	area->control.lease_tsc = 1;
	malloc_at(0x3000, MA_RECHECK_BYTES + 1);
	assert_int_equal(area->counters.fault, MA_FAULT_LEASE);
	assert_int_equal(fake_take(), 0);
	/* Frees go on: the live set must not keep what is gone. */
	ma_free_sampled((void *)0x1000);
	assert_int_equal(fake_take(), 1);
	area->control.lease_tsc = UINT64_MAX;
	malloc_at(0x4000, MA_RECHECK_BYTES + 1);
	assert_int_equal(area->counters.fault, MA_FAULT_NONE);
	assert_int_equal(fake_take(), 1);
	assert_int_equal(area->counters.dropped_allocs, 0);
}

static void test_full_rings(void **state)
{
	struct ma_area *area = ma_hook.area;

	(void)state;
	for (uint64_t i = 1; i <= MA_RING_EVENTS; i++)
		malloc_at(i * 4096, 100);
	/* The last one needs room for two. */
	assert_int_equal(area->counters.dropped_allocs, 1);
	ma_free_sampled((void *)4096);
	assert_int_equal(area->counters.dropped_frees, 0);
	ma_free_sampled((void *)(2 * 4096));
	assert_int_equal(area->counters.dropped_frees, 1);
	answer = (void *)0x10000;
	ma_mmap_entry(NULL, 4096, 3, 34, -1, 5);
	assert_int_equal(area->counters.dropped_maps, 1);
	assert_int_equal(fake_take(), MA_RING_EVENTS);
	/* Both frees are in the live set all the same: nothing is told twice. */
	ma_free_sampled((void *)4096);
	ma_free_sampled((void *)(2 * 4096));
	assert_int_equal(fake_take(), 0);
	for (int i = 0; i < MA_RINGS; i++)
		area->rings[i].claim = 4711;
	malloc_at(0x1000, 100);
	assert_int_equal(area->counters.dropped_allocs, 2);
	assert_int_equal(fake_take(), 0);
}

static void test_regions(void **state)
{
	(void)state;
	answer = (void *)0x10000;
	ma_mmap_entry(NULL, 5000, 3, 34, -1, 5);
	ma_munmap_entry((void *)0x10000, 5000);
	assert_int_equal(fake_take(), 2);
	check_event(0, MA_EVENT_MAP, 0x10000, 8192, MA_DOMAIN_MMAP);
	assert_int_equal(fake_events[0].rate, 0);
	check_event(1, MA_EVENT_UNMAP, 0x10000, 8192, MA_DOMAIN_MMAP);
	/* Refused by the kernel. */
	answer = MAP_FAILED;
	ma_mmap_entry(NULL, 5000, 3, 34, -1, 5);
	ma_munmap_entry((void *)0x10001, 5000);
	ma_munmap_entry((void *)0x10000, 0);
	ma_munmap_entry((void *)0x10000, SIZE_MAX);
	assert_int_equal(fake_take(), 0);
	/* Arenas are the allocator's. */
	answer = (void *)0x40000;
	assert_ptr_equal(ma_arena_alloc_entry(NULL, 4096), answer);
	ma_arena_free_entry(NULL, (void *)0x40000, 4096);
	assert_int_equal(fake_take(), 0);
	ma_mmap_entry(NULL, 4096, 3, 34, -1, 5);
	assert_int_equal(fake_take(), 1);
}

static int remap(uint64_t result, size_t old_bytes, size_t new_bytes, int flags)
{
	answer = (void *)result;
	assert_ptr_equal(
		ma_mremap_entry((void *)0x20000, old_bytes, new_bytes, flags, (void *)0x99000),
		answer);
	return fake_take();
}

static void test_mremap(void **state)
{
	enum { MAYMOVE = 1, DONTUNMAP = 4 };

	(void)state;
	assert_int_equal(remap(0x30000, 4096, 8192, MAYMOVE), 2);
	check_event(0, MA_EVENT_UNMAP, 0x20000, 4096, MA_DOMAIN_MMAP);
	check_event(1, MA_EVENT_MAP, 0x30000, 8192, MA_DOMAIN_MMAP);
	assert_int_equal(remap(0x20000, 4096, 8192, 0), 2);
	assert_int_equal(remap(0x20000, 8192, 4096, 0), 2);
	check_event(1, MA_EVENT_MAP, 0x20000, 4096, MA_DOMAIN_MMAP);
	/* It fails: nothing, or gone and back. */
	assert_int_equal(remap(UINT64_MAX, 4096, 8192, 0), 0);
	assert_int_equal(remap(UINT64_MAX, 4096, 8192, MAYMOVE), 2);
	check_event(1, MA_EVENT_MAP, 0x20000, 4096, MA_DOMAIN_MMAP);
	/* The old region stays. */
	assert_int_equal(remap(0x30000, 4096, 4096, MAYMOVE | DONTUNMAP), 1);
	assert_int_equal(remap(0x30000, 0, 4096, MAYMOVE), 1);
	check_event(0, MA_EVENT_MAP, 0x30000, 4096, MA_DOMAIN_MMAP);
}

static void test_exact(void **state)
{
	struct ma_exact *exact = &ma_hook.area->exact;

	(void)state;
	answer = (void *)0x1000;
	ma_malloc_exact(100);
	assert_int_equal(exact->live_bytes, 100);
	answer = (void *)0x2000;
	ma_realloc_exact((void *)0x1000, 300);
	assert_int_equal(exact->live_bytes, 300);
	assert_int_equal(exact->live_count, 1);
	answer = NULL;
	ma_realloc_exact((void *)0x2000, 400);
	assert_int_equal(exact->live_bytes, 300);
	/* Of malloc's, in Python's hook: left to the malloc hook. */
	answer = (void *)0x2400;
	ma_obj_realloc_exact((void *)0xc0, (void *)0x2000, 700);
	assert_int_equal(exact->live_bytes, 300);
	ma_free_exact((void *)0x2000);
	ma_free_exact((void *)0x2000);
	ma_free_exact(NULL);
	assert_int_equal(exact->live_bytes, 0);
	assert_int_equal(exact->peak_bytes, 300);
	assert_int_equal(exact->allocated_bytes, 400);
	/* An empty block takes room too; what the shadow cannot hold is counted. */
	answer = (void *)0x3000;
	ma_malloc_exact(0);
	assert_int_equal(exact->live_bytes, 1);
	answer = (void *)0x3008;
	ma_malloc_exact(10);
	assert_int_equal(ma_hook.area->counters.dropped_allocs, 1);
	/* No events but those of regions. */
	assert_int_equal(fake_take(), 0);
	answer = (void *)0x10000;
	ma_mmap_entry(NULL, 4096, 3, 34, -1, 5);
	assert_int_equal(fake_take(), 1);
	*ma_hook.gate = 0;
	answer = (void *)0x4000;
	ma_malloc_exact(100);
	ma_free_exact((void *)0x3000);
	assert_int_equal(exact->live_bytes, 1);
}

static void test_exact_switched_off(void **state)
{
	struct ma_exact *exact = &ma_hook.area->exact;

	(void)state;
	answer = (void *)0x1000;
	ma_malloc_exact(100);
	ma_hook.area->control.enabled = 0;
	answer = (void *)0x200000;
	ma_malloc_exact(MA_RECHECK_BYTES + 1);
	assert_int_equal(exact->live_count, 1);
	ma_free_exact((void *)0x1000);
	assert_int_equal(exact->live_count, 0);
	ma_hook.area->control.enabled = 1;
	ma_malloc_exact(MA_RECHECK_BYTES + 1);
	assert_int_equal(exact->live_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_alloc_and_free, begin_sampled),
		cmocka_unit_test_setup(test_failures, begin_sampled),
		cmocka_unit_test_setup(test_reallocation, begin_sampled),
		cmocka_unit_test_setup(test_python, begin_sampled),
		cmocka_unit_test_setup(test_python_realloc, begin_sampled),
		cmocka_unit_test_setup(test_nested, begin_sampled),
		cmocka_unit_test_setup(test_left_behind, begin_sampled),
		cmocka_unit_test_setup(test_gate, begin_sampled),
		cmocka_unit_test_setup(test_switched_off, begin_sampled),
		cmocka_unit_test_setup(test_full_rings, begin_sampled),
		cmocka_unit_test_setup(test_regions, begin_sampled),
		cmocka_unit_test_setup(test_mremap, begin_sampled),
		cmocka_unit_test_setup(test_exact, begin_exact),
		cmocka_unit_test_setup(test_exact_switched_off, begin_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
