/* SPDX-License-Identifier: MIT */
/* See heap_state.h. */
#include "daemon/heap_state.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 1024 };

void ma_heap_state_init(struct ma_heap_state *state, uint32_t limit)
{
	memset(state, 0, sizeof *state);
	state->limit = limit < MA_SITES ? limit : MA_SITES - 1;
}

void ma_heap_state_fini(struct ma_heap_state *state)
{
	free(state->sites);
	memset(state, 0, sizeof *state);
}

static bool grow(struct ma_heap_state *state, uint32_t site)
{
	uint64_t room = state->room ? state->room : FIRST_ROOM;
	while (room <= site)
		room *= 2;
	if (room > (uint64_t)state->limit + 1)
		room = (uint64_t)state->limit + 1;
	struct ma_heap_sums *sites = realloc(state->sites, room * sizeof *sites);
	if (!sites)
		return false;
	memset(&sites[state->room], 0, (room - state->room) * sizeof *sites);
	state->sites = sites;
	state->room = (uint32_t)room;
	return true;
}

static struct ma_heap_sums *sums_of(struct ma_heap_state *state,
				    const struct ma_heap_sample *sample)
{
	uint32_t site = sample->site;
	uint32_t domain = sample->domain < MA_HEAP_DOMAINS ? sample->domain : 0;
	if (site == 0)
		return &state->unknown[domain];
	if (site < state->room || (site <= state->limit && grow(state, site)))
		return &state->sites[site];
	uint8_t *byte = &state->merged[site % MA_SITES / 8];
	uint8_t bit = (uint8_t)(1U << (site % 8));
	if (!(*byte & bit)) {
		*byte |= bit;
		state->merged_sites++;
	}
	return &state->other[domain];
}

/* Before a site's live value changes: keep what it was at the last peak. total.epoch counts peaks.
 */
static void keep_peak(struct ma_heap_state *state, struct ma_heap_sums *sums)
{
	if (sums->epoch == state->total.epoch)
		return;
	sums->peak_bytes = sums->live_bytes;
	sums->peak_count = sums->live_count;
	sums->peak_bytes_variance = sums->live_bytes_variance;
	sums->epoch = state->total.epoch;
}

void ma_heap_state_mark_peak(struct ma_heap_state *state, uint32_t clock_ms)
{
	struct ma_heap_sums *total = &state->total;
	total->epoch++;
	total->peak_bytes = total->live_bytes;
	total->peak_count = total->live_count;
	total->peak_bytes_variance = total->live_bytes_variance;
	state->peak_ms = clock_ms;
}

static void look_for_peak(struct ma_heap_state *state, uint32_t clock_ms)
{
	if (state->total.live_bytes > state->total.peak_bytes && !state->peak_elsewhere)
		ma_heap_state_mark_peak(state, clock_ms);
}

static void add_live(struct ma_heap_sums *sums, const struct ma_weight *weight)
{
	sums->live_bytes += weight->bytes;
	sums->live_count += weight->count;
	sums->live_bytes_variance += weight->bytes_variance;
	sums->live_count_variance += weight->count_variance;
	sums->live_samples++;
}

static void add_allocated(struct ma_heap_sums *sums, const struct ma_weight *weight,
			  uint32_t clock_ms)
{
	if (sums->allocated_samples == 0)
		sums->first_ms = clock_ms;
	sums->last_ms = clock_ms;
	sums->allocated_bytes += weight->bytes;
	sums->allocated_count += weight->count;
	sums->allocated_bytes_variance += weight->bytes_variance;
	sums->allocated_count_variance += weight->count_variance;
	sums->allocated_samples++;
}

int ma_heap_size_class(uint64_t size_bytes)
{
	if (size_bytes == 0)
		return 0;
	int highest = 63 - __builtin_clzll(size_bytes);
	return highest < MA_HEAP_SIZE_CLASSES ? highest : MA_HEAP_SIZE_CLASSES - 1;
}

static struct ma_weight weight_of(const struct ma_heap_sample *sample)
{
	struct ma_weight weight;
	ma_estimate_weight(sample->size_bytes, sample->interval_bytes, &weight);
	return weight;
}

/* Adds the weight to what was allocated and returns the site's sums. */
static struct ma_heap_sums *count_allocated(struct ma_heap_state *state,
					    const struct ma_heap_sample *sample,
					    const struct ma_weight *weight, uint32_t clock_ms)
{
	struct ma_heap_sums *sums = sums_of(state, sample);
	add_allocated(sums, weight, clock_ms);
	add_allocated(&state->total, weight, clock_ms);
	struct ma_size_class *class = &state->classes[ma_heap_size_class(sample->size_bytes)];
	class->allocated_bytes += weight->bytes;
	class->allocated_count += weight->count;
	return sums;
}

static void count_live(struct ma_heap_state *state, struct ma_heap_sums *sums, uint64_t size_bytes,
		       const struct ma_weight *weight)
{
	keep_peak(state, sums);
	add_live(sums, weight);
	add_live(&state->total, weight);
	struct ma_size_class *class = &state->classes[ma_heap_size_class(size_bytes)];
	class->live_bytes += weight->bytes;
	class->live_count += weight->count;
}

void ma_heap_state_alloc(struct ma_heap_state *state, const struct ma_heap_sample *sample,
			 uint32_t clock_ms)
{
	struct ma_weight weight = weight_of(sample);
	struct ma_heap_sums *sums = count_allocated(state, sample, &weight, clock_ms);
	count_live(state, sums, sample->size_bytes, &weight);
	look_for_peak(state, clock_ms);
}

void ma_heap_state_allocated(struct ma_heap_state *state, const struct ma_heap_sample *sample,
			     uint32_t clock_ms)
{
	struct ma_weight weight = weight_of(sample);
	count_allocated(state, sample, &weight, clock_ms);
}

static uint64_t at_most(uint64_t value, uint64_t bound)
{
	return value < bound ? value : bound;
}

/* Takes a weight out of a site and of the total by the same amount, never below 0. */
static void take_live(struct ma_heap_state *state, struct ma_heap_sums *sums,
		      const struct ma_weight *weight, int class_index, bool whole)
{
	uint64_t bytes = at_most(weight->bytes, sums->live_bytes);
	uint64_t count = at_most(weight->count, sums->live_count);
	if (bytes < weight->bytes || count < weight->count)
		state->unbalanced++;
	struct ma_heap_sums *both[2] = {sums, &state->total};
	for (int i = 0; i < 2; i++) {
		both[i]->live_bytes -= bytes;
		both[i]->live_count -= count;
		both[i]->live_bytes_variance -= weight->bytes_variance;
		both[i]->live_count_variance -= weight->count_variance;
		if (whole && both[i]->live_samples)
			both[i]->live_samples--;
		if (both[i]->live_samples == 0 || both[i]->live_bytes_variance < 0)
			both[i]->live_bytes_variance = 0;
		if (both[i]->live_samples == 0 || both[i]->live_count_variance < 0)
			both[i]->live_count_variance = 0;
	}
	struct ma_size_class *class = &state->classes[class_index];
	class->live_bytes -= at_most(bytes, class->live_bytes);
	class->live_count -= at_most(count, class->live_count);
}

void ma_heap_state_free(struct ma_heap_state *state, const struct ma_heap_sample *sample)
{
	struct ma_weight weight = weight_of(sample);
	struct ma_heap_sums *sums = sums_of(state, sample);
	keep_peak(state, sums);
	take_live(state, sums, &weight, ma_heap_size_class(sample->size_bytes), true);
}

void ma_heap_state_unmap(struct ma_heap_state *state, const struct ma_heap_sample *region,
			 uint64_t bytes, bool last_part)
{
	struct ma_weight weight;
	ma_estimate_weight(bytes, 0, &weight);
	if (!last_part)
		weight.count = 0;
	struct ma_heap_sums *sums = sums_of(state, region);
	keep_peak(state, sums);
	take_live(state, sums, &weight, ma_heap_size_class(region->size_bytes), last_part);
}

static void forget_live(struct ma_heap_sums *sums)
{
	sums->live_bytes = 0;
	sums->live_count = 0;
	sums->live_bytes_variance = 0;
	sums->live_count_variance = 0;
	sums->live_samples = 0;
}

void ma_heap_state_rebuild_begin(struct ma_heap_state *state)
{
	for (uint32_t i = 0; i < state->room; i++) {
		keep_peak(state, &state->sites[i]);
		forget_live(&state->sites[i]);
	}
	for (int i = 0; i < MA_HEAP_DOMAINS; i++) {
		keep_peak(state, &state->unknown[i]);
		keep_peak(state, &state->other[i]);
		forget_live(&state->unknown[i]);
		forget_live(&state->other[i]);
	}
	forget_live(&state->total);
	for (int i = 0; i < MA_HEAP_SIZE_CLASSES; i++) {
		state->classes[i].live_bytes = 0;
		state->classes[i].live_count = 0;
	}
}

void ma_heap_state_relive(struct ma_heap_state *state, const struct ma_heap_sample *sample)
{
	struct ma_weight weight = weight_of(sample);
	count_live(state, sums_of(state, sample), sample->size_bytes, &weight);
}

void ma_heap_state_relive_region(struct ma_heap_state *state, const struct ma_heap_sample *region,
				 uint64_t bytes, bool first_part)
{
	struct ma_weight weight;
	ma_estimate_weight(bytes, 0, &weight);
	if (!first_part)
		weight.count = 0;
	struct ma_heap_sums *sums = sums_of(state, region);
	count_live(state, sums, region->size_bytes, &weight);
	if (!first_part) {
		sums->live_samples--;
		state->total.live_samples--;
	}
}

void ma_heap_state_relive_sum(struct ma_heap_state *state, const struct ma_heap_sample *sample,
			      const struct ma_weight *sum, uint64_t samples)
{
	struct ma_heap_sums *sums = sums_of(state, sample);
	count_live(state, sums, sample->size_bytes, sum);
	sums->live_samples += samples - 1;
	state->total.live_samples += samples - 1;
}

void ma_heap_state_rebuild_end(struct ma_heap_state *state, uint32_t clock_ms)
{
	look_for_peak(state, clock_ms);
}

static double bytes_of(uint64_t units)
{
	return (double)units / MA_BYTES_UNITS;
}

static double count_of(uint64_t units)
{
	return (double)units / MA_COUNT_UNITS;
}

static void view_of(const struct ma_heap_sums *sums, bool peak_kept, struct ma_site_view *view)
{
	*view = (struct ma_site_view){
		.allocated_bytes = bytes_of(sums->allocated_bytes),
		.allocated_count = count_of(sums->allocated_count),
		.peak_bytes = bytes_of(peak_kept ? sums->peak_bytes : sums->live_bytes),
		.peak_count = count_of(peak_kept ? sums->peak_count : sums->live_count),
		.live_bytes = bytes_of(sums->live_bytes),
		.live_count = count_of(sums->live_count),
		.allocated_bytes_variance = sums->allocated_bytes_variance,
		.allocated_count_variance = sums->allocated_count_variance,
		.peak_bytes_variance =
			peak_kept ? sums->peak_bytes_variance : sums->live_bytes_variance,
		.live_bytes_variance = sums->live_bytes_variance,
		.live_count_variance = sums->live_count_variance,
		.allocated_samples = sums->allocated_samples,
		.live_samples = sums->live_samples,
		.first_ms = sums->first_ms,
		.last_ms = sums->last_ms,
	};
}

bool ma_heap_state_view(const struct ma_heap_state *state, uint32_t site, struct ma_site_view *view)
{
	const struct ma_heap_sums *sums = NULL;
	if (site < state->room)
		sums = &state->sites[site];
	else if (site - MA_HEAP_UNKNOWN(0) < MA_HEAP_DOMAINS)
		sums = &state->unknown[site - MA_HEAP_UNKNOWN(0)];
	else if (site - MA_HEAP_OTHER(0) < MA_HEAP_DOMAINS)
		sums = &state->other[site - MA_HEAP_OTHER(0)];
	if (!sums || (sums->allocated_samples == 0 && sums->live_bytes == 0)) {
		memset(view, 0, sizeof *view);
		return false;
	}
	view_of(sums, sums->epoch == state->total.epoch, view);
	return true;
}

void ma_heap_state_total(const struct ma_heap_state *state, struct ma_site_view *view)
{
	view_of(&state->total, true, view);
}
