/* SPDX-License-Identifier: MIT */
/* What samples share through windows: as kept by the heap state, against adding up all pairs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "daemon/heap_state.h"
#include "daemon/ledger.h"

enum { SITES = 6, BLOCKS = 400, STEPS = 60000, WINDOWS = 30, SLIDE = 400 };

struct block {
	struct ma_heap_sample sample;
	bool live;
};

/* K in bytes and allocations squared, and what came through windows. */
struct shared {
	double bytes_square, count_square, bytes, count;
};

static uint32_t pick(uint32_t bound)
{
	return (uint32_t)random() % bound;
}

static double closed(const struct ma_heap_sample *sample)
{
	return 1 - ldexp(1, -(int)MA_RATE_WINDOW(sample->rate));
}

static bool share_window(const struct ma_heap_sample *a, const struct ma_heap_sample *b)
{
	return a->birth_ms == b->birth_ms && MA_RATE_WINDOW(a->rate) == MA_RATE_WINDOW(b->rate);
}

/* By the definition. site 0: all. */
static struct shared add_pairs(const struct block *blocks, uint32_t count, uint32_t site)
{
	struct shared shared = {0};
	for (uint32_t i = 0; i < count; i++) {
		const struct ma_heap_sample *a = &blocks[i].sample;
		struct ma_weight one, two;
		if (!blocks[i].live || !MA_RATE_WINDOW(a->rate) || (site && a->site != site))
			continue;
		ma_estimate_weight(a->size_bytes, a->rate, &one);
		shared.bytes += (double)one.bytes / MA_BYTES_UNITS;
		shared.count += (double)one.count / MA_COUNT_UNITS;
		for (uint32_t j = 0; j < i; j++) {
			const struct ma_heap_sample *b = &blocks[j].sample;
			if (!blocks[j].live || !share_window(a, b) || (site && b->site != site))
				continue;
			ma_estimate_weight(b->size_bytes, b->rate, &two);
			shared.bytes_square += 2 * closed(a) * (double)one.bytes *
					       (double)two.bytes / MA_BYTES_UNITS / MA_BYTES_UNITS;
			shared.count_square += 2 * closed(a) * (double)one.count *
					       (double)two.count / MA_COUNT_UNITS / MA_COUNT_UNITS;
		}
	}
	return shared;
}

static void assert_near(double value, double wanted, double scale)
{
	if (!(fabs(value - wanted) <= 1e-7 * scale))
		fail_msg("%.17g is not %.17g", value, wanted);
}

static void compare(const struct block *blocks, uint32_t count, const struct ma_heap_state *state)
{
	struct ma_site_view view;
	struct shared all = add_pairs(blocks, count, 0);
	ma_heap_state_total(state, &view);
	assert_near(view.live.bytes_shared, sqrt(all.bytes_square), all.bytes);
	assert_near(view.live.count_shared, sqrt(all.count_square), all.count);
	double bytes = 0, count_sum = 0;
	for (uint32_t site = 1; site < SITES; site++) {
		struct shared own = add_pairs(blocks, count, site);
		ma_heap_state_view(state, site, &view);
		double part = all.bytes > 0 ? own.bytes / all.bytes : 0;
		assert_near(view.live.bytes_shared,
			    fmax(sqrt(own.bytes_square), part * sqrt(all.bytes_square)), all.bytes);
		part = all.count > 0 ? own.count / all.count : 0;
		assert_near(view.live.count_shared,
			    fmax(sqrt(own.count_square), part * sqrt(all.count_square)), all.count);
		bytes += view.live.bytes_shared;
		count_sum += view.live.count_shared;
	}
	/* Whoever adds sites up gets no less than there is. */
	assert_true(bytes >= sqrt(all.bytes_square) * (1 - 1e-9));
	assert_true(count_sum >= sqrt(all.count_square) * (1 - 1e-9));
}

/* Samples of a time that goes on, with and without windows. */
static struct ma_heap_sample some_sample(uint32_t step)
{
	uint32_t exponent = pick(5);
	return (struct ma_heap_sample){.size_bytes = 1 + pick(512),
				       .site = 1 + pick(SITES - 1),
				       .rate = exponent << MA_RATE_WINDOW_SHIFT | 4096U << pick(4),
				       .domain = MA_DOMAIN_OBJECT,
				       .birth_ms = step / SLIDE + pick(WINDOWS),
				       .coin = (uint32_t)random() << 1};
}

static void test_live_against_pairs(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	static struct block blocks[BLOCKS];
	srandom(5);
	ma_heap_state_init(&state, MA_HEAP_SITE_LIMIT);
	for (uint32_t step = 0; step < STEPS; step++) {
		struct block *block = &blocks[pick(BLOCKS)];
		bool grow = step / 5000 % 2 == 0 ? pick(100) < 70 : pick(100) < 30;
		if (block->live && !grow) {
			ma_heap_state_free(&state, &block->sample);
			block->live = false;
		} else if (!block->live && grow) {
			block->sample = some_sample(step);
			ma_heap_state_alloc(&state, &block->sample, step);
			block->live = true;
		}
		if (step % 10007 == 0) {
			ma_heap_state_rebuild_begin(&state);
			for (int i = 0; i < BLOCKS; i++)
				if (blocks[i].live)
					ma_heap_state_relive(&state, &blocks[i].sample);
			ma_heap_state_rebuild_end(&state, step);
		}
		if (step % 499 == 0)
			compare(blocks, BLOCKS, &state);
	}
	assert_int_equal(state.window_exponent_max, 4);
	for (int i = 0; i < BLOCKS; i++)
		if (blocks[i].live)
			ma_heap_state_free(&state, &blocks[i].sample);
	struct ma_site_view view;
	for (uint32_t site = 1; site < SITES; site++) {
		ma_heap_state_view(&state, site, &view);
		assert_true(view.live.bytes_shared == 0 && view.live.count_shared == 0);
		assert_true(state.sites[site].live_shared.bytes == 0);
	}
	ma_heap_state_total(&state, &view);
	assert_true(view.live.bytes_shared == 0 && view.live.count_shared == 0);
	assert_int_equal(state.windows.left_out, 0);
	ma_heap_state_fini(&state);
}

/* What was allocated is never taken back; the peak is what was live at that moment. */
static void test_allocated_and_peak(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	static struct block blocks[BLOCKS];
	struct ma_site_view at_peak, view;
	srandom(6);
	ma_heap_state_init(&state, MA_HEAP_SITE_LIMIT);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		blocks[i] = (struct block){some_sample(i), true};
		ma_heap_state_alloc(&state, &blocks[i].sample, i);
	}
	struct shared all = add_pairs(blocks, BLOCKS, 0);
	ma_heap_state_total(&state, &at_peak);
	for (uint32_t i = 0; i < BLOCKS; i++)
		ma_heap_state_free(&state, &blocks[i].sample);
	ma_heap_state_total(&state, &view);
	assert_near(view.allocated.bytes_shared, sqrt(all.bytes_square), all.bytes);
	assert_near(view.allocated.count_shared, sqrt(all.count_square), all.count);
	assert_true(view.live.bytes_shared == 0);
	assert_true(view.peak.bytes_shared == at_peak.live.bytes_shared);
	for (uint32_t site = 1; site < SITES; site++) {
		struct shared own = add_pairs(blocks, BLOCKS, site);
		double part = own.bytes / all.bytes * sqrt(all.bytes_square);
		ma_heap_state_view(&state, site, &view);
		assert_near(view.allocated.bytes_shared, fmax(sqrt(own.bytes_square), part),
			    all.bytes);
		assert_near(view.peak.bytes_shared, fmax(sqrt(own.bytes_square), part), all.bytes);
	}
	ma_heap_state_fini(&state);
}

/* Without windows nothing is shared, and no memory is taken. */
static void test_no_windows(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	static const uint32_t rates[] = {0, 4096, MA_RATE_CHANCE | MA_RATE_ONE / 8,
					 MA_RATE_CHANCE | (MA_RATE_ONE - 1)};
	struct ma_site_view view;
	ma_heap_state_init(&state, MA_HEAP_SITE_LIMIT);
	for (uint32_t i = 0; i < 1000; i++) {
		struct ma_heap_sample sample = {.size_bytes = 100,
						.site = 1,
						.rate = rates[i % 4],
						.domain = MA_DOMAIN_MALLOC,
						.birth_ms = 7};
		ma_heap_state_alloc(&state, &sample, 7);
	}
	ma_heap_state_view(&state, 1, &view);
	assert_true(view.live.bytes_shared == 0 && view.allocated.count_shared == 0);
	assert_null(state.windows.slots);
	assert_int_equal(state.window_exponent_max, 0);
	ma_heap_state_fini(&state);
}

/* A million samples come and go beside a few that stay: neither drift nor growth. */
static void test_long_run(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	struct block kept[2] = {0};
	struct ma_heap_sample sample = some_sample(0);
	struct ma_site_view view;
	ma_heap_state_init(&state, MA_HEAP_SITE_LIMIT);
	sample.site = 1;
	sample.rate = 3U << MA_RATE_WINDOW_SHIFT | 4096;
	for (uint32_t i = 0; i < 1000000; i++) {
		sample.birth_ms = i / 100;
		if (i == 777 || i == 778) {
			kept[i - 777] = (struct block){sample, true};
			ma_heap_state_alloc(&state, &sample, i);
			continue;
		}
		struct ma_heap_sample large = sample;
		large.size_bytes = 1 + pick(100000);
		ma_heap_state_alloc(&state, &large, i);
		ma_heap_state_free(&state, &large);
	}
	struct shared wanted = add_pairs(kept, 2, 1);
	ma_heap_state_view(&state, 1, &view);
	assert_near(view.live.bytes_shared, sqrt(wanted.bytes_square), wanted.bytes);
	/* Two sets, windows of a second and as many again, at most three quarters full. */
	assert_true(state.windows.room <= 32 * MA_SHARED_WINDOWS_PAST_MS);
	ma_heap_state_fini(&state);
}

/* A target that tells of more than can be live gets no more memory than that. */
static void test_bounded(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	ma_heap_state_init(&state, MA_HEAP_SITE_LIMIT);
	for (uint32_t i = 0; i < MA_SHARED_WINDOWS_ROOM; i++) {
		struct ma_heap_sample sample = {.size_bytes = 16,
						.site = 1 + i % 1000,
						.rate = 1U << MA_RATE_WINDOW_SHIFT | 4096,
						.domain = MA_DOMAIN_OBJECT,
						.birth_ms = i};
		ma_heap_state_alloc(&state, &sample, i);
	}
	assert_true(state.windows.left_out > 0);
	assert_int_equal(state.windows.room, MA_SHARED_WINDOWS_ROOM);
	ma_heap_state_rebuild_begin(&state);
	ma_heap_state_rebuild_end(&state, 0);
	struct ma_heap_sample sample = {.size_bytes = 16,
					.site = 1,
					.rate = 1U << MA_RATE_WINDOW_SHIFT | 4096,
					.domain = MA_DOMAIN_OBJECT,
					.birth_ms = UINT32_MAX};
	/* There is room again, sooner or later. */
	for (uint32_t i = 0; i < MA_SHARED_WINDOWS_ROOM; i++) {
		ma_heap_state_alloc(&state, &sample, UINT32_MAX);
		ma_heap_state_free(&state, &sample);
	}
	assert_true(state.windows.room < MA_SHARED_WINDOWS_ROOM);
	ma_heap_state_fini(&state);
}

/* A session that ended knows what it had in common, too. */
static void test_ledger(void **unused)
{
	(void)unused;
	static struct ma_heap_state held, wanted;
	static struct ma_ledger ledger;
	static struct block blocks[BLOCKS];
	srandom(8);
	ma_heap_state_init(&held, MA_HEAP_SITE_LIMIT);
	ma_heap_state_init(&wanted, MA_HEAP_SITE_LIMIT);
	ma_ledger_begin(&ledger, BLOCKS * 10);
	for (uint32_t i = 0; i < BLOCKS; i++) {
		blocks[i] = (struct block){some_sample(i * 10 * SLIDE), true};
		ma_ledger_add(&ledger, &blocks[i].sample);
		ma_heap_state_relive(&wanted, &blocks[i].sample);
	}
	ma_ledger_end(&ledger);
	ma_ledger_held(&ledger, BLOCKS * 20, &held);
	compare(blocks, BLOCKS, &held);
	compare(blocks, BLOCKS, &wanted);
	ma_ledger_fini(&ledger);
	ma_heap_state_fini(&held);
	ma_heap_state_fini(&wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live_against_pairs),
		cmocka_unit_test(test_allocated_and_peak),
		cmocka_unit_test(test_no_windows),
		cmocka_unit_test(test_long_run),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_ledger),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
