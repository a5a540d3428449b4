/* SPDX-License-Identifier: MIT */
/* See heap_view.h. */
#include "daemon/heap_view.h"

#include <string.h>

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Adds the hook's counters of a site. */
static bool add_exact(const struct ma_exact *exact, uint32_t id, struct ma_site_view *values)
{
	const struct ma_exact_site *site = &exact->sites[id];
	uint64_t count = load(&site->allocated_count);
	if (count == 0)
		return false;
	bool kept = load(&site->epoch) == load(&exact->epoch);
	double live_bytes = (double)load(&site->live_bytes);
	double live_count = (double)load(&site->live_count);
	values->allocated_bytes += (double)load(&site->allocated_bytes);
	values->allocated_count += (double)count;
	values->live_bytes += live_bytes;
	values->live_count += live_count;
	values->peak_bytes += kept ? (double)load(&site->peak_bytes) : live_bytes;
	values->peak_count += kept ? (double)load(&site->peak_count) : live_count;
	values->allocated_samples += count;
	values->live_samples += load(&site->live_count);
	values->first_ms = __atomic_load_n(&site->first_ms, __ATOMIC_RELAXED);
	values->last_ms = __atomic_load_n(&site->last_ms, __ATOMIC_RELAXED);
	return true;
}

bool ma_heap_view_site(const struct ma_heap_view *view, uint32_t site, struct ma_site_view *values)
{
	bool found = ma_heap_state_view(view->state, site, values);
	if (view->exact && site < MA_SITES)
		found |= add_exact(view->exact, site, values);
	return found;
}

void ma_heap_view_total(const struct ma_heap_view *view, struct ma_site_view *values,
			uint32_t *peak_ms)
{
	ma_heap_state_total(view->state, values);
	*peak_ms = ma_heap_state_peak_ms(view->state);
	if (!view->exact)
		return;
	const struct ma_exact *exact = view->exact;
	values->allocated_bytes += (double)load(&exact->allocated_bytes);
	values->allocated_count += (double)load(&exact->allocated_count);
	values->live_bytes += (double)load(&exact->live_bytes);
	values->live_count += (double)load(&exact->live_count);
	values->peak_bytes += (double)load(&exact->peak_bytes);
	values->peak_count += (double)load(&exact->peak_count);
	values->allocated_samples += load(&exact->allocated_count);
	values->live_samples += load(&exact->live_count);
	*peak_ms = __atomic_load_n(&exact->peak_ms, __ATOMIC_RELAXED);
}

static uint32_t last_site(const struct ma_heap_view *view)
{
	uint32_t last = view->site_count < MA_SITES ? view->site_count : MA_SITES - 1;
	return last < view->state->limit ? last : view->state->limit;
}

uint32_t ma_heap_view_count(const struct ma_heap_view *view)
{
	return last_site(view) + 1 + 2 * MA_HEAP_DOMAINS;
}

uint32_t ma_heap_view_id(const struct ma_heap_view *view, uint32_t index)
{
	uint32_t last = last_site(view);
	if (index <= last)
		return index;
	uint32_t domain = index - last - 1;
	return domain < MA_HEAP_DOMAINS ? MA_HEAP_UNKNOWN(domain)
					: MA_HEAP_OTHER(domain - MA_HEAP_DOMAINS);
}
