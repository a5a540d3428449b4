/* SPDX-License-Identifier: MIT */
/* Exact mode's state against a model that keeps everything the slow way. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "inject/hook/exact.h"
#include "inject/hook/sampler.h"

enum { ARENA_PAGES = 4096, SITES = 20, BLOCKS = 500, STEPS = 200000, THREADS = 4 };

static struct ma_area *area;
static struct ma_exact_heap heap;
static const struct ma_exact_caller me = {.tid = 1};

/* Finds and takes. */
static bool take_out(struct ma_exact_caller caller, uint64_t address, struct ma_exact_block *taken)
{
	struct ma_shadow *shadow = ma_exact_find(&heap, address, taken);

	return shadow && ma_exact_take(&heap, caller, shadow);
}

static int make_with(uint64_t arena_pages)
{
	uint64_t bytes = MA_AREA_EXACT_BYTES(ARENA_PAGES);

	if (area)
		munmap(area, bytes);
	area = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return -1;
	area->ident.exact_heap_bytes = arena_pages * MA_PAGE_BYTES;
	return ma_exact_init(&heap, area, bytes) ? 0 : -1;
}

static int make(void **state)
{
	(void)state;
	return make_with(ARENA_PAGES);
}

/* The slow way. */
struct model {
	struct ma_exact_block blocks[BLOCKS]; /* site 0 = not live */
	uint64_t live_bytes[SITES + 1], live_count[SITES + 1];
	uint64_t peak_bytes[SITES + 1], peak_count[SITES + 1];
	uint64_t total, count, peak;
};

static void model_remove(struct model *model, uint32_t n)
{
	struct ma_exact_block *block = &model->blocks[n];

	model->live_bytes[block->site] -= block->size_bytes;
	model->live_count[block->site]--;
	model->total -= block->size_bytes;
	model->count--;
	block->site = 0;
}

static void model_add(struct model *model, uint32_t n, const struct ma_exact_block *block)
{
	if (model->blocks[n].site)
		model_remove(model, n);
	model->blocks[n] = *block;
	model->live_bytes[block->site] += block->size_bytes;
	model->live_count[block->site]++;
	model->total += block->size_bytes;
	model->count++;
	if (model->total <= model->peak)
		return;
	model->peak = model->total;
	memcpy(model->peak_bytes, model->live_bytes, sizeof model->live_bytes);
	memcpy(model->peak_count, model->live_count, sizeof model->live_count);
}

/* Some blocks side by side, some far apart, over several regions. */
static uint64_t address_of(uint32_t n)
{
	return UINT64_C(0x7f0000001000) + (uint64_t)(n % 5) * 0x123456000 + (uint64_t)n * 48;
}

static void compare(const struct model *model)
{
	const struct ma_exact *state = &area->exact;

	assert_int_equal(state->live_bytes, model->total);
	assert_int_equal(state->live_count, model->count);
	assert_int_equal(state->peak_bytes, model->peak);
	for (uint32_t i = 1; i <= SITES; i++) {
		const struct ma_exact_site *site = &state->sites[i];
		int fresh = site->epoch == state->epoch;

		assert_int_equal(site->live_bytes, model->live_bytes[i]);
		assert_int_equal(site->live_count, model->live_count[i]);
		assert_int_equal(fresh ? site->peak_bytes : site->live_bytes, model->peak_bytes[i]);
		assert_int_equal(fresh ? site->peak_count : site->live_count, model->peak_count[i]);
	}
}

static void test_model(void **state)
{
	static struct model model;
	uint64_t random = 9, allocated = 0, implicit = 0;

	(void)state;
	for (uint32_t step = 0; step < STEPS; step++) {
		uint32_t n = (uint32_t)(ma_sampler_random(&random) % BLOCKS);
		struct ma_exact_block block = {
			.size_bytes = 1 + ma_sampler_random(&random) % 100000,
			.site = 1 + (uint32_t)(ma_sampler_random(&random) % SITES),
			.birth_ms = step,
		};
		struct ma_exact_block was = model.blocks[n], taken;

		/* One in 50 is handed out again without a free. */
		if (was.site && ma_sampler_random(&random) % 50) {
			assert_non_null(ma_exact_find(&heap, address_of(n), &taken));
			assert_true(take_out(me, address_of(n), &taken));
			assert_memory_equal(&taken, &was, sizeof was);
			model_remove(&model, n);
			assert_null(ma_exact_find(&heap, address_of(n), &taken));
		} else {
			implicit += was.site != 0;
			assert_true(ma_exact_enter(&heap, me, address_of(n), &block));
			model_add(&model, n, &block);
			allocated += block.size_bytes;
		}
		if (step % 1000 == 0)
			compare(&model);
	}
	compare(&model);
	assert_true(implicit > 100);
	assert_int_equal(area->exact.allocated_bytes, allocated);
	assert_int_equal(area->counters.implicit_frees, implicit);
	assert_int_equal(area->counters.samples, area->exact.allocated_count);
	assert_int_equal(area->counters.samples - area->counters.sample_frees - implicit,
			 model.count);
}

static void test_put_back(void **state)
{
	struct ma_exact_block block = {
		.size_bytes = UINT64_C(0x123456789abc), .site = 3, .birth_ms = 4};
	struct ma_exact_block taken;

	(void)state;
	assert_true(ma_exact_enter(&heap, me, 0x5000, &block));
	assert_true(take_out(me, 0x5000, &taken));
	assert_int_equal(area->exact.live_bytes, 0);
	assert_true(ma_exact_put_back(&heap, me, 0x5000, &taken));
	assert_non_null(ma_exact_find(&heap, 0x5000, &taken));
	assert_memory_equal(&taken, &block, sizeof taken);
	assert_int_equal(area->exact.live_bytes, block.size_bytes);
	/* It was allocated once, and is the same peak. */
	assert_int_equal(area->exact.allocated_count, 1);
	assert_int_equal(area->exact.epoch, 1);
	assert_int_equal(area->counters.sample_frees, 0);
}

/* Sizes on both sides of what a shadow has room for; numbers are used again. */
static void test_sizes(void **state)
{
	static const uint64_t sizes[] = {
		1,
		MA_SHADOW_LARGE - 1,
		MA_SHADOW_LARGE,
		MA_SHADOW_LARGE + 1,
		UINT64_C(1) << 32,
		(UINT64_C(1) << 48) - 1,
	};
	enum { SIZES = sizeof sizes / sizeof sizes[0], ROUNDS = 300 };
	struct ma_exact_block found;

	(void)state;
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint64_t i = 0; i < SIZES; i++) {
			struct ma_exact_block block = {
				.size_bytes = sizes[i], .site = MA_SITES - 1, .birth_ms = ~round};

			assert_true(ma_exact_enter(&heap, me, 0x4000 + i * 16, &block));
		}
		for (uint64_t i = 0; i < SIZES; i++) {
			assert_true(take_out(me, 0x4000 + i * 16, &found));
			assert_int_equal(found.size_bytes, sizes[i]);
			assert_int_equal(found.site, MA_SITES - 1);
			assert_int_equal(found.birth_ms, ~round);
		}
	}
	assert_int_equal(area->exact.live_bytes, 0);
	assert_int_equal(area->exact.larges_used, 4);
}

static void test_addresses(void **state)
{
	struct ma_exact_block block = {.size_bytes = 10, .site = 1}, found;
	static const uint64_t bad[] = {0, 8, 0x1001, UINT64_C(1) << 47, UINT64_MAX & ~UINT64_C(15)};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		assert_false(ma_exact_enter(&heap, me, bad[i], &block));
		assert_null(ma_exact_find(&heap, bad[i], &found));
		assert_false(take_out(me, bad[i], &found));
	}
	assert_true(ma_exact_enter(&heap, me, (UINT64_C(1) << 47) - 16, &block));
	assert_int_equal(area->exact.live_count, 1);
	block.size_bytes = UINT64_C(1) << 48;
	assert_false(ma_exact_enter(&heap, me, 0x1000, &block));
}

static void test_arena_used_up(void **state)
{
	struct ma_exact_block block = {.size_bytes = 10, .site = 1}, found;
	uint64_t entered = 0;

	(void)state;
	/* One directory of 128 pages, and 44 pages. */
	assert_int_equal(make_with(172), 0);
	for (uint64_t page = 1; page <= 100; page++)
		entered += ma_exact_enter(&heap, me, page << MA_SHADOW_PAGE_BITS, &block);
	assert_int_equal(entered, 44);
	assert_int_equal(area->exact.live_count, 44);
	assert_int_equal(area->exact.arena_pages_used, 172);
	/* Nor for a size that has no room in a shadow; and what was there is freed all the same. */
	block.size_bytes = MA_SHADOW_LARGE;
	assert_false(ma_exact_enter(&heap, me, 1 << MA_SHADOW_PAGE_BITS, &block));
	assert_int_equal(area->exact.live_count, 43);
	assert_int_equal(area->counters.implicit_frees, 1);
	block.size_bytes = 10;
	/* No room for another directory, and none is begun. */
	assert_false(ma_exact_enter(&heap, me, UINT64_C(1) << 40, &block));
	assert_null(ma_exact_find(&heap, UINT64_C(1) << 40, &found));
	assert_true(take_out(me, 2 << MA_SHADOW_PAGE_BITS, &found));
	/* An arena that is smaller than one directory is none. */
	assert_int_equal(make_with(100), -1);
	/* What the ident claims beyond the mapping does not count. */
	assert_int_equal(make_with(UINT32_MAX), 0);
	assert_int_equal(heap.arena_pages, ARENA_PAGES);
}

static void test_lock(void **state)
{
	struct ma_exact_block block = {.size_bytes = 10, .site = 1}, taken;
	struct ma_exact_caller nested = {.tid = 1, .nested = true};

	(void)state;
	assert_true(ma_exact_enter(&heap, me, 0x1000, &block));
	/* A frame of this thread further up the stack holds it: refused, at once. */
	area->exact.lock = 1;
	assert_false(ma_exact_enter(&heap, nested, 0x2000, &block));
	assert_false(take_out(nested, 0x1000, &taken));
	/* No frame does: it was left behind. */
	assert_true(ma_exact_enter(&heap, me, 0x2000, &block));
	assert_int_equal(area->exact.lock, 0);
	/* Somebody holds it who will never come back. */
	area->exact.lock = 4711;
	assert_true(take_out(me, 0x2000, &taken));
	assert_int_equal(area->exact.lock, 0);
}

static void *churn(void *argument)
{
	struct ma_exact_caller caller = {.tid = (uint32_t)(uintptr_t)argument};
	uint64_t base = UINT64_C(0x7f0000000000) + (uint64_t)caller.tid * 64, random = caller.tid;
	uintptr_t wrong = 0;

	for (int i = 0; i < STEPS; i++) {
		uint64_t address = base + ma_sampler_random(&random) % 64 * 1024;
		struct ma_exact_block block = {.size_bytes = caller.tid, .site = 1}, taken;

		if (ma_exact_find(&heap, address, &taken))
			wrong += !take_out(caller, address, &taken) ||
				 taken.size_bytes != caller.tid;
		else
			wrong += !ma_exact_enter(&heap, caller, address, &block);
	}
	for (uint64_t n = 0; n < 64; n++) {
		struct ma_exact_block taken;

		if (ma_exact_find(&heap, base + n * 1024, &taken))
			wrong += !take_out(caller, base + n * 1024, &taken);
	}
	return (void *)wrong;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(area->exact.live_bytes, 0);
	assert_int_equal(area->exact.live_count, 0);
	assert_int_equal(area->counters.samples, area->counters.sample_frees);
	assert_int_equal(area->counters.implicit_frees, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_model, make),
		cmocka_unit_test_setup(test_put_back, make),
		cmocka_unit_test_setup(test_sizes, make),
		cmocka_unit_test_setup(test_addresses, make),
		cmocka_unit_test_setup(test_arena_used_up, make),
		cmocka_unit_test_setup(test_lock, make),
		cmocka_unit_test_setup(test_threads, make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
