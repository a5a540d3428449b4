/* SPDX-License-Identifier: MIT */
/* The heap state against a naive model that remembers everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/heap_state.h"

enum { SITES = 40, BLOCKS = 500, STEPS = 200000 };

/* Everything by the definition: the composition at the peak is a copy made at the highest estimate.
 */
struct model {
	uint64_t live[SITES], peak[SITES], total, total_peak;
	uint64_t live_count[SITES], peak_count[SITES];
};

struct block {
	struct ma_heap_sample sample;
	bool live;
};

static uint32_t pick(uint32_t bound)
{
	return (uint32_t)random() % bound;
}

static void model_change(struct model *model, const struct ma_heap_sample *sample, int sign)
{
	struct ma_weight weight;
	ma_estimate_weight(sample->size_bytes, sample->rate, &weight);
	uint64_t bytes = sign > 0 ? weight.bytes : -weight.bytes;
	model->live[sample->site] += bytes;
	model->live_count[sample->site] += sign > 0 ? weight.count : -weight.count;
	model->total += bytes;
	if (model->total <= model->total_peak)
		return;
	model->total_peak = model->total;
	memcpy(model->peak, model->live, sizeof model->peak);
	memcpy(model->peak_count, model->live_count, sizeof model->peak_count);
}

static const struct ma_heap_sums *sums_of(const struct ma_heap_state *state, uint32_t site)
{
	static const struct ma_heap_sums none;
	return site < state->room ? &state->sites[site] : &none;
}

/* What views tell of the peak is the highest estimate less the excess; here it is the former. */
static void compare(const struct ma_heap_state *state, const struct model *model)
{
	struct ma_site_view view;
	ma_heap_state_total(state, &view);
	assert_true(view.live_bytes == (double)model->total / MA_BYTES_UNITS);
	assert_int_equal(state->total.peak_bytes, model->total_peak);
	double peak_of_sites = 0, total_peak = view.peak_bytes;
	uint64_t peak = 0;
	for (uint32_t site = 1; site < SITES; site++) {
		const struct ma_heap_sums *sums = sums_of(state, site);
		bool kept = sums->epoch == state->total.epoch;
		ma_heap_state_view(state, site, &view);
		assert_true(view.live_bytes == (double)model->live[site] / MA_BYTES_UNITS);
		assert_true(view.live_count == (double)model->live_count[site] / MA_COUNT_UNITS);
		assert_int_equal(kept ? sums->peak_bytes : sums->live_bytes, model->peak[site]);
		assert_int_equal(kept ? sums->peak_count : sums->live_count,
				 model->peak_count[site]);
		peak += model->peak[site];
		peak_of_sites += view.peak_bytes;
	}
	assert_int_equal(peak, model->total_peak);
	assert_true(total_peak <= (double)model->total_peak / MA_BYTES_UNITS);
	assert_true(total_peak >= (double)model->total / MA_BYTES_UNITS);
	/* No site gives back more than it has. */
	if (peak_of_sites < total_peak * (1 - 1e-9) ||
	    peak_of_sites > (double)model->total_peak / MA_BYTES_UNITS * (1 + 1e-9))
		fail_msg("sites %.0f, total %.0f", peak_of_sites, total_peak);
}

static struct ma_heap_sample some_sample(void)
{
	static const uint32_t intervals[] = {0, 4096, 65536, 1 << 20};
	return (struct ma_heap_sample){.size_bytes = 1 + pick(1U << pick(20)),
				       .site = 1 + pick(SITES - 1),
				       .rate = intervals[pick(4)],
				       .domain = MA_DOMAIN_MALLOC,
				       .coin = (uint32_t)random() << 1};
}

static void test_against_model(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	static struct model model;
	static struct block blocks[BLOCKS];
	srandom(3);
	ma_heap_state_init(&state, MA_HEAP_SITE_LIMIT);
	for (uint32_t step = 0; step < STEPS; step++) {
		struct block *block = &blocks[pick(BLOCKS)];
		/* Phases of growth and of shrinking, so that the peak is passed again and again. */
		bool grow = step / 5000 % 2 == 0 ? pick(100) < 60 : pick(100) < 40;
		if (block->live && !grow) {
			ma_heap_state_free(&state, &block->sample);
			model_change(&model, &block->sample, -1);
			block->live = false;
		} else if (!block->live && grow) {
			block->sample = some_sample();
			ma_heap_state_alloc(&state, &block->sample, step);
			model_change(&model, &block->sample, 1);
			block->live = true;
		}
		if (step % 97 == 0)
			compare(&state, &model);
	}
	for (int i = 0; i < BLOCKS; i++) {
		if (!blocks[i].live)
			continue;
		ma_heap_state_free(&state, &blocks[i].sample);
		model_change(&model, &blocks[i].sample, -1);
	}
	compare(&state, &model);
	struct ma_site_view view;
	ma_heap_state_total(&state, &view);
	assert_true(view.live_bytes == 0 && view.live_count == 0 && view.live_samples == 0);
	assert_true(view.live.bytes_variance == 0 && view.live.count_variance == 0);
	assert_int_equal(state.unbalanced, 0);
	for (int i = 0; i < MA_HEAP_SIZE_CLASSES; i++)
		assert_true(state.classes[i].live_bytes == 0 && state.classes[i].live_count == 0);
	ma_heap_state_fini(&state);
}

static void test_rebuild(void **unused)
{
	(void)unused;
	static struct ma_heap_state state, wanted;
	srandom(4);
	ma_heap_state_init(&state, MA_HEAP_SITE_LIMIT);
	ma_heap_state_init(&wanted, MA_HEAP_SITE_LIMIT);
	struct ma_heap_sample samples[100];
	for (int i = 0; i < 100; i++) {
		samples[i] = some_sample();
		ma_heap_state_alloc(&state, &samples[i], 5);
		ma_heap_state_alloc(&wanted, &samples[i], 5);
	}
	/* The frees of the first fifty were lost for `state`. */
	for (int i = 0; i < 50; i++)
		ma_heap_state_free(&wanted, &samples[i]);
	ma_heap_state_rebuild_begin(&state);
	for (int i = 50; i < 100; i++)
		ma_heap_state_relive(&state, &samples[i]);
	ma_heap_state_rebuild_end(&state, 9);
	for (uint32_t site = 0; site < SITES; site++) {
		struct ma_site_view a, b;
		ma_heap_state_view(&state, site, &a);
		ma_heap_state_view(&wanted, site, &b);
		assert_true(a.live_bytes == b.live_bytes && a.peak_bytes == b.peak_bytes);
		assert_true(a.allocated_bytes == b.allocated_bytes);
		assert_int_equal(a.live_samples, b.live_samples);
	}
	assert_int_equal(state.peak_ms, 5);
	ma_heap_state_fini(&state);
	ma_heap_state_fini(&wanted);
}

/* A free without its allocation must not make anything negative, nor total and sites differ. */
static void test_unbalanced(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	ma_heap_state_init(&state, MA_HEAP_SITE_LIMIT);
	struct ma_heap_sample small = {.size_bytes = 100, .site = 3, .domain = 3};
	struct ma_heap_sample large = {.size_bytes = 1000, .site = 3, .domain = 3};
	struct ma_site_view view;
	ma_heap_state_alloc(&state, &small, 1);
	ma_heap_state_free(&state, &large);
	ma_heap_state_total(&state, &view);
	assert_true(view.live_bytes == 0);
	assert_int_equal(state.unbalanced, 1);
	ma_heap_state_free(&state, &large);
	ma_heap_state_view(&state, 3, &view);
	assert_true(view.live_bytes == 0 && view.live_samples == 0);
	ma_heap_state_fini(&state);
}

static void test_limit(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	struct ma_site_view view;
	ma_heap_state_init(&state, 10);
	for (uint32_t site = 0; site < 30; site++) {
		for (uint32_t domain = MA_DOMAIN_OBJECT; domain <= MA_DOMAIN_MMAP; domain++) {
			struct ma_heap_sample sample = {
				.size_bytes = 8, .site = site, .domain = domain};
			ma_heap_state_alloc(&state, &sample, 1);
		}
	}
	assert_int_equal(state.merged_sites, 19);
	assert_true(state.room <= 11);
	assert_true(ma_heap_state_view(&state, MA_HEAP_OTHER(MA_DOMAIN_MEM), &view));
	assert_true(view.live_bytes == 19 * 8);
	assert_true(ma_heap_state_view(&state, MA_HEAP_UNKNOWN(MA_DOMAIN_MMAP), &view));
	assert_true(view.live_bytes == 8);
	assert_false(ma_heap_state_view(&state, 11, &view));
	assert_false(ma_heap_state_view(&state, MA_SITES + 5, &view));
	struct ma_heap_sample wild = {.size_bytes = 8, .site = UINT32_MAX, .domain = 77};
	ma_heap_state_alloc(&state, &wild, 1);
	ma_heap_state_total(&state, &view);
	assert_true(view.live_bytes == (30 * 4 + 1) * 8);
	ma_heap_state_fini(&state);
}

static void test_size_classes(void **unused)
{
	(void)unused;
	assert_int_equal(ma_heap_size_class(0), 0);
	assert_int_equal(ma_heap_size_class(1), 0);
	assert_int_equal(ma_heap_size_class(511), 8);
	assert_int_equal(ma_heap_size_class(512), 9);
	assert_int_equal(ma_heap_size_class(UINT64_MAX), MA_HEAP_SIZE_CLASSES - 1);
}

/* Somebody else says when the peak is: the composition is the one of that moment. */
static void test_peak_elsewhere(void **unused)
{
	(void)unused;
	static struct ma_heap_state state;
	struct ma_site_view view;
	ma_heap_state_init(&state, 100);
	state.peak_elsewhere = true;
	struct ma_heap_sample a = {.size_bytes = 100, .site = 1, .domain = MA_DOMAIN_MMAP};
	struct ma_heap_sample b = {.size_bytes = 900, .site = 2, .domain = MA_DOMAIN_MMAP};
	ma_heap_state_alloc(&state, &a, 1);
	ma_heap_state_mark_peak(&state, 7);
	ma_heap_state_alloc(&state, &b, 8);
	ma_heap_state_unmap(&state, &a, 40, false);
	ma_heap_state_view(&state, 1, &view);
	assert_true(view.peak_bytes == 100 && view.live_bytes == 60 && view.live_count == 1);
	ma_heap_state_view(&state, 2, &view);
	assert_true(view.peak_bytes == 0 && view.live_bytes == 900);
	ma_heap_state_total(&state, &view);
	assert_true(view.peak_bytes == 100);
	assert_int_equal(state.peak_ms, 7);
	ma_heap_state_fini(&state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_model), cmocka_unit_test(test_rebuild),
		cmocka_unit_test(test_unbalanced),    cmocka_unit_test(test_limit),
		cmocka_unit_test(test_size_classes),  cmocka_unit_test(test_peak_elsewhere),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
