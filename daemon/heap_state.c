/* SPDX-License-Identifier: MIT */
/* See heap_state.h. */
#include "daemon/heap_state.h"

#include <math.h>
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
	ma_shared_windows_fini(&state->windows);
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
	sums->peak = sums->live;
	sums->peak_shared = sums->live_shared;
	sums->epoch = state->total.epoch;
}

void ma_heap_state_mark_peak(struct ma_heap_state *state, uint32_t clock_ms)
{
	struct ma_heap_sums *total = &state->total;
	total->epoch++;
	total->peak_bytes = total->live_bytes;
	total->peak_count = total->live_count;
	total->peak = total->live;
	total->peak_shared = total->live_shared;
	state->peak_ms = clock_ms;
}

static void look_for_peak(struct ma_heap_state *state, uint32_t clock_ms)
{
	if (state->peak_elsewhere)
		return;
	ma_halves_look(&state->halves);
	if (state->total.live_bytes > state->total.peak_bytes)
		ma_heap_state_mark_peak(state, clock_ms);
}

static void add_cumulants(struct ma_cumulants *cumulants, const struct ma_weight *weight)
{
	cumulants->bytes_variance += weight->bytes_variance;
	cumulants->count_variance += weight->count_variance;
	cumulants->bytes_third += weight->bytes_third;
	cumulants->count_third += weight->count_third;
}

/* Rounding must not leave a rest where no sample is left, nor anything negative. */
static void take_from(double *sum, double part, bool nothing_left)
{
	*sum = nothing_left || *sum < part ? 0 : *sum - part;
}

static void take_cumulants(struct ma_cumulants *cumulants, const struct ma_weight *weight,
			   bool nothing_left)
{
	take_from(&cumulants->bytes_variance, weight->bytes_variance, nothing_left);
	take_from(&cumulants->count_variance, weight->count_variance, nothing_left);
	take_from(&cumulants->bytes_third, weight->bytes_third, nothing_left);
	take_from(&cumulants->count_third, weight->count_third, nothing_left);
}

static void add_live(struct ma_heap_sums *sums, const struct ma_weight *weight)
{
	sums->live_bytes += weight->bytes;
	sums->live_count += weight->count;
	add_cumulants(&sums->live, weight);
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
	add_cumulants(&sums->allocated, weight);
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
	ma_estimate_weight(sample->size_bytes, sample->rate, &weight);
	return weight;
}

/* A site's id, or that of the entry that it shares. */
static uint32_t id_of(const struct ma_heap_state *state, const struct ma_heap_sums *sums)
{
	if (sums >= state->unknown && sums < state->unknown + MA_HEAP_DOMAINS)
		return MA_HEAP_UNKNOWN((uint32_t)(sums - state->unknown));
	if (sums >= state->other && sums < state->other + MA_HEAP_DOMAINS)
		return MA_HEAP_OTHER((uint32_t)(sums - state->other));
	return (uint32_t)(sums - state->sites);
}

static struct ma_shared_sample shared_sample(uint32_t set, const struct ma_heap_sample *sample,
					     const struct ma_weight *weight)
{
	return (struct ma_shared_sample){
		.set = set, .rate = sample->rate, .start_ms = sample->birth_ms, .weight = weight};
}

/* A sample in its window, of the site and of all. Most have none. */
static void share_allocated(struct ma_heap_state *state, struct ma_heap_sums *sums,
			    const struct ma_heap_sample *sample, const struct ma_weight *weight)
{
	if (weight->open >= 1)
		return;
	struct ma_shared_sample one = shared_sample(id_of(state, sums), sample, weight);
	double before = sums->allocated_shared.bytes_square;
	ma_shared_windows_allocated(&state->windows, &one, &sums->allocated_shared);
	state->bunched += sums->allocated_shared.bytes_square - before;
	one.set = MA_SHARED_WINDOWS_ALL;
	ma_shared_windows_allocated(&state->windows, &one, &state->total.allocated_shared);
}

static void share_live(struct ma_heap_state *state, struct ma_heap_sums *sums,
		       const struct ma_heap_sample *sample, const struct ma_weight *weight)
{
	if (weight->open >= 1)
		return;
	if (MA_RATE_WINDOW(sample->rate) > state->window_exponent_max)
		state->window_exponent_max = MA_RATE_WINDOW(sample->rate);
	struct ma_shared_sample one = shared_sample(id_of(state, sums), sample, weight);
	ma_shared_windows_add(&state->windows, &one, &sums->live_shared);
	one.set = MA_SHARED_WINDOWS_ALL;
	ma_shared_windows_add(&state->windows, &one, &state->total.live_shared);
}

/* After the weight was taken out of the sums. */
static void share_taken(struct ma_heap_state *state, struct ma_heap_sums *sums,
			const struct ma_heap_sample *sample, const struct ma_weight *weight)
{
	struct ma_shared_sample one = shared_sample(id_of(state, sums), sample, weight);
	ma_shared_windows_take(&state->windows, &one, sums->live_samples == 0, &sums->live_shared);
	one.set = MA_SHARED_WINDOWS_ALL;
	ma_shared_windows_take(&state->windows, &one, state->total.live_samples == 0,
			       &state->total.live_shared);
}

/* Adds the weight to what was allocated and returns the site's sums. */
static struct ma_heap_sums *count_allocated(struct ma_heap_state *state,
					    const struct ma_heap_sample *sample,
					    const struct ma_weight *weight, uint32_t clock_ms)
{
	struct ma_heap_sums *sums = sums_of(state, sample);
	add_allocated(sums, weight, clock_ms);
	add_allocated(&state->total, weight, clock_ms);
	share_allocated(state, sums, sample, weight);
	if (sample->domain < MA_HEAP_DOMAINS) {
		state->made_count[sample->domain] += weight->count;
		state->made_samples[sample->domain]++;
	}
	state->deviations += sqrt(weight->bytes_variance);
	struct ma_size_class *class = &state->classes[ma_heap_size_class(sample->size_bytes)];
	class->allocated_bytes += weight->bytes;
	class->allocated_count += weight->count;
	return sums;
}

static struct ma_halves_coins coins_of(const struct ma_heap_sample *sample)
{
	return (struct ma_halves_coins){
		.sample = sample->coin,
		.window = ma_halves_coin(MA_RATE_WINDOW(sample->rate), sample->birth_ms),
	};
}

/* size_bytes: what lies behind the weight; of a region that is cut up, less than the sample's. */
static void count_live(struct ma_heap_state *state, struct ma_heap_sums *sums,
		       const struct ma_heap_sample *sample, uint64_t size_bytes,
		       const struct ma_weight *weight)
{
	keep_peak(state, sums);
	add_live(sums, weight);
	add_live(&state->total, weight);
	share_live(state, sums, sample, weight);
	ma_halves_add(&state->halves, weight, coins_of(sample), size_bytes);
	struct ma_size_class *class = &state->classes[ma_heap_size_class(sample->size_bytes)];
	class->live_bytes += weight->bytes;
	class->live_count += weight->count;
}

void ma_heap_state_alloc(struct ma_heap_state *state, const struct ma_heap_sample *sample,
			 uint32_t clock_ms)
{
	struct ma_weight weight = weight_of(sample);
	struct ma_heap_sums *sums = count_allocated(state, sample, &weight, clock_ms);
	count_live(state, sums, sample, sample->size_bytes, &weight);
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
		if (whole && both[i]->live_samples)
			both[i]->live_samples--;
		take_cumulants(&both[i]->live, weight, both[i]->live_samples == 0);
	}
	struct ma_size_class *class = &state->classes[class_index];
	class->live_bytes -= at_most(bytes, class->live_bytes);
	class->live_count -= at_most(count, class->live_count);
}

void ma_heap_state_free(struct ma_heap_state *state, const struct ma_heap_sample *sample)
{
	struct ma_weight weight = weight_of(sample);
	struct ma_heap_sums *sums = sums_of(state, sample);
	if (sample->domain < MA_HEAP_DOMAINS)
		state->freed_count[sample->domain] += weight.count;
	keep_peak(state, sums);
	take_live(state, sums, &weight, ma_heap_size_class(sample->size_bytes), true);
	share_taken(state, sums, sample, &weight);
	ma_halves_take(&state->halves, &weight, coins_of(sample), sample->size_bytes);
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
	share_taken(state, sums, region, &weight);
	ma_halves_take(&state->halves, &weight, coins_of(region), bytes);
}

static void forget_live(struct ma_heap_sums *sums)
{
	sums->live_bytes = 0;
	sums->live_count = 0;
	sums->live = (struct ma_cumulants){0};
	sums->live_shared = (struct ma_shared){0};
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
	ma_halves_forget(&state->halves);
	ma_shared_windows_forget(&state->windows);
	for (int i = 0; i < MA_HEAP_SIZE_CLASSES; i++) {
		state->classes[i].live_bytes = 0;
		state->classes[i].live_count = 0;
	}
}

void ma_heap_state_relive(struct ma_heap_state *state, const struct ma_heap_sample *sample)
{
	struct ma_weight weight = weight_of(sample);
	count_live(state, sums_of(state, sample), sample, sample->size_bytes, &weight);
}

void ma_heap_state_relive_region(struct ma_heap_state *state, const struct ma_heap_sample *region,
				 uint64_t bytes, bool first_part)
{
	struct ma_weight weight;
	ma_estimate_weight(bytes, 0, &weight);
	if (!first_part)
		weight.count = 0;
	struct ma_heap_sums *sums = sums_of(state, region);
	count_live(state, sums, region, bytes, &weight);
	if (!first_part) {
		sums->live_samples--;
		state->total.live_samples--;
	}
}

void ma_heap_state_relive_sum(struct ma_heap_state *state, const struct ma_heap_sample *sample,
			      const struct ma_heap_sum *sum)
{
	struct ma_heap_sums *sums = sums_of(state, sample);
	struct ma_weight weight = sum->weight;
	/* A sum has none, and nobody asks such a state for its peak. */
	weight.chance = weight.open = 1;
	count_live(state, sums, sample, sample->size_bytes, &weight);
	ma_shared_add(&sums->live_shared, &sum->shared);
	sums->live_samples += sum->samples - 1;
	state->total.live_samples += sum->samples - 1;
}

void ma_heap_state_relive_shared(struct ma_heap_state *state, const struct ma_shared *shared)
{
	ma_shared_add(&state->total.live_shared, shared);
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

/* The peak that readers are told of: the highest estimate, less what choosing it added, though not
 * less than what is live now. */
struct peak {
	bool is_now;
	double excess; /* bytes to take off */
};

static struct peak peak_of(const struct ma_heap_state *state)
{
	const struct ma_heap_sums *total = &state->total;
	struct peak peak = {.excess = ma_halves_excess(&state->halves)};
	if (state->peak_elsewhere || !(total->peak.bytes_variance > 0))
		peak.excess = 0;
	peak.excess = fmin(peak.excess, bytes_of(total->peak_bytes));
	if (bytes_of(total->live_bytes) > bytes_of(total->peak_bytes) - peak.excess &&
	    !state->peak_elsewhere)
		peak = (struct peak){.is_now = true};
	return peak;
}

static struct ma_spread spread_of(const struct ma_cumulants *cumulants,
				  const struct ma_shared *shared, const struct ma_shared *all)
{
	struct ma_shared_deviation deviation = ma_shared_deviation_of(shared, all);
	return (struct ma_spread){
		.bytes_variance = cumulants->bytes_variance,
		.count_variance = cumulants->count_variance,
		.bytes_third = cumulants->bytes_third,
		.count_third = cumulants->count_third,
		.bytes_shared = deviation.bytes,
		.count_shared = deviation.count,
	};
}

/* A site's part of the uncertainty of the total's peak; that of the windows goes by what came
 * through them. */
static double part_of_peak(const struct ma_heap_state *state, double bytes_variance,
			   const struct ma_shared *shared)
{
	const struct ma_shared *all = &state->total.peak_shared;
	double through = all->bytes ? (double)shared->bytes / (double)all->bytes : 0;
	double square = all->bytes_square / ((double)MA_BYTES_UNITS * MA_BYTES_UNITS);
	return (bytes_variance + through * square) / (state->total.peak.bytes_variance + square);
}

/* A site's part of the excess is its part of the uncertainty. */
static void fill_peak(const struct ma_heap_state *state, const struct ma_heap_sums *sums,
		      struct ma_site_view *view)
{
	struct peak peak = peak_of(state);
	bool untouched = sums != &state->total && sums->epoch != state->total.epoch;
	const struct ma_shared *shared = untouched ? &sums->live_shared : &sums->peak_shared;
	if (peak.is_now || untouched) {
		view->peak_bytes = view->live_bytes;
		view->peak_count = view->live_count;
	} else {
		view->peak_bytes = bytes_of(sums->peak_bytes);
		view->peak_count = count_of(sums->peak_count);
	}
	if (peak.is_now)
		view->peak = view->live;
	else
		view->peak = spread_of(untouched ? &sums->live : &sums->peak, shared,
				       &state->total.peak_shared);
	if (!(peak.excess > 0 && view->peak_bytes > 0))
		return;
	double excess = peak.excess * part_of_peak(state, view->peak.bytes_variance, shared);
	double left = fmax(0, 1 - excess / view->peak_bytes);
	view->peak_bytes *= left;
	view->peak_count *= left;
}

static void view_of(const struct ma_heap_state *state, const struct ma_heap_sums *sums,
		    struct ma_site_view *view)
{
	*view = (struct ma_site_view){
		.allocated_bytes = bytes_of(sums->allocated_bytes),
		.allocated_count = count_of(sums->allocated_count),
		.live_bytes = bytes_of(sums->live_bytes),
		.live_count = count_of(sums->live_count),
		.allocated = spread_of(&sums->allocated, &sums->allocated_shared,
				       &state->total.allocated_shared),
		.live = spread_of(&sums->live, &sums->live_shared, &state->total.live_shared),
		.allocated_samples = sums->allocated_samples,
		.live_samples = sums->live_samples,
		.first_ms = sums->first_ms,
		.last_ms = sums->last_ms,
	};
	fill_peak(state, sums, view);
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
	view_of(state, sums, view);
	return true;
}

void ma_heap_state_total(const struct ma_heap_state *state, struct ma_site_view *view)
{
	view_of(state, &state->total, view);
}

double ma_heap_state_made(const struct ma_heap_state *state, uint32_t domain)
{
	return (double)state->made_count[domain % MA_HEAP_DOMAINS] / MA_COUNT_UNITS;
}

double ma_heap_state_freed(const struct ma_heap_state *state, uint32_t domain)
{
	return (double)state->freed_count[domain % MA_HEAP_DOMAINS] / MA_COUNT_UNITS;
}

uint32_t ma_heap_state_peak_ms(const struct ma_heap_state *state)
{
	return peak_of(state).is_now ? state->total.last_ms : state->peak_ms;
}

double ma_heap_state_peak_excess(const struct ma_heap_state *state)
{
	return peak_of(state).excess;
}

/*
 * The mean standard deviation of a sample, each weighted by its own: for blocks far smaller than
 * the interval that is the interval that was in force, averaged over the bytes allocated.
 */
double ma_heap_state_unseen(const struct ma_heap_state *state)
{
	double variance = state->total.allocated.bytes_variance;
	return state->deviations > 0 ? variance / state->deviations : 0;
}

double ma_heap_state_unseen_site(const struct ma_heap_state *state)
{
	uint64_t through = state->total.allocated_shared.bytes;
	double window = through ? state->bunched / (double)through : 0;
	return fmax(ma_heap_state_unseen(state), window / MA_BYTES_UNITS);
}
