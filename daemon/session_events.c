/* SPDX-License-Identifier: MIT */
/* Events into the heap state, and what is done when some were lost; see session.h. */
#include "daemon/session.h"

enum { REBUILD_MS = 50 }; /* at least between two rebuilds: each reads the whole live set */

static struct ma_heap_sample sample_of(const struct ma_event *event)
{
	return (struct ma_heap_sample){.size_bytes = event->size_bytes,
				       .site = event->site,
				       .rate = event->rate,
				       .domain = event->domain,
				       .birth_ms = event->clock_ms,
				       .coin = ma_halves_coin(event->address, event->clock_ms)};
}

static struct ma_heap_sample sample_of_region(const struct ma_region *region)
{
	return (struct ma_heap_sample){
		.size_bytes = region->size_bytes, .site = region->site, .domain = MA_DOMAIN_MMAP};
}

static void region_gone(void *context, const struct ma_region *region, uint64_t bytes,
			bool last_part)
{
	struct ma_session *session = context;
	struct ma_heap_sample sample = sample_of_region(region);
	ma_heap_state_unmap(&session->heap, &sample, bytes, last_part);
}

static void take_event(void *context, const struct ma_event *event)
{
	struct ma_session *session = context;
	struct ma_heap_sample sample = sample_of(event);
	switch ((enum ma_event_kind)event->kind) {
	case MA_EVENT_MAP:
		if (ma_region_map_add(&session->regions, event->address, event->size_bytes,
				      event->site, event->clock_ms, region_gone, session))
			ma_heap_state_alloc(&session->heap, &sample, event->clock_ms);
		break;
	case MA_EVENT_UNMAP:
		ma_region_map_remove(&session->regions, event->address, event->size_bytes,
				     region_gone, session);
		break;
	case MA_EVENT_ALLOC:
	case MA_EVENT_FREE:
	case MA_EVENT_FREE_IMPLICIT:
		if (ma_settle_active(&session->settle))
			ma_settle_event(&session->settle, event, &session->heap);
		else if (event->kind == MA_EVENT_ALLOC)
			ma_heap_state_alloc(&session->heap, &sample, event->clock_ms);
		else
			ma_heap_state_free(&session->heap, &sample);
		break;
	}
	if (session->heap.total.live_bytes > session->live_units_max)
		session->live_units_max = session->heap.total.live_bytes;
}

/* A region counts once, with its first piece. */
static void relive_regions(struct ma_session *session)
{
	const struct ma_region_map *regions = &session->regions;
	for (size_t i = 0; i < regions->count; i++)
		regions->pieces[i].region->counted = false;
	for (size_t i = 0; i < regions->count; i++) {
		struct ma_region_piece *piece = &regions->pieces[i];
		struct ma_heap_sample sample = sample_of_region(piece->region);
		ma_heap_state_relive_region(&session->heap, &sample, piece->end - piece->start,
					    !piece->region->counted);
		piece->region->counted = true;
	}
}

static void rebuild(struct ma_session *session, uint32_t clock_ms)
{
	if (!ma_settle_prepare(&session->settle))
		return; /* no memory: the old sums are better than none */
	ma_heap_state_rebuild_begin(&session->heap);
	ma_settle_begin(&session->settle, session->map.area, clock_ms, &session->heap);
	relive_regions(session);
	ma_heap_state_rebuild_end(&session->heap, clock_ms);
}

/* Events that were lost leave live sums wrong; the live set in shared memory is right. */
static void rebuild_if_lost(struct ma_session *session, uint64_t now_ms)
{
	struct ma_counters counters;
	ma_session_counters(session, &counters);
	bool lost = counters.dropped_frees != session->dropped_frees ||
		    session->ingest.gaps != session->gaps ||
		    session->heap.unbalanced != session->unbalanced;
	if (!lost || now_ms < session->next_rebuild_ms)
		return;
	session->dropped_frees = counters.dropped_frees;
	session->gaps = session->ingest.gaps;
	session->unbalanced = session->heap.unbalanced;
	session->next_rebuild_ms = now_ms + REBUILD_MS;
	rebuild(session, (uint32_t)(now_ms - session->attach_monotonic_ms));
}

/* The hook keeps the peak in exact mode; regions are ours, and have their value of about then. */
static void follow_exact_peak(struct ma_session *session)
{
	const struct ma_exact *exact = &session->map.area->exact;
	uint64_t live = __atomic_load_n(&exact->live_bytes, __ATOMIC_RELAXED);
	live = live * MA_BYTES_UNITS + session->heap.total.live_bytes;
	if (live > session->live_units_max)
		session->live_units_max = live;
	uint64_t epoch = __atomic_load_n(&exact->epoch, __ATOMIC_ACQUIRE);
	if (epoch == session->exact_epoch)
		return;
	session->exact_epoch = epoch;
	ma_heap_state_mark_peak(&session->heap, __atomic_load_n(&exact->peak_ms, __ATOMIC_RELAXED));
}

void ma_session_ingest(struct ma_session *session, uint64_t now_ms, bool flush)
{
	int permille = ma_ingest_poll(&session->ingest, session->map.area->rings, now_ms, flush,
				      take_event, session);
	if (permille > session->ring_permille)
		session->ring_permille = permille;
	if (session->map.ident.mode == MA_MODE_EXACT) {
		follow_exact_peak(session);
		return;
	}
	uint32_t clock_ms = (uint32_t)(now_ms - session->attach_monotonic_ms);
	ma_settle_tick(&session->settle, session->ingest.next, clock_ms);
	rebuild_if_lost(session, now_ms);
}
