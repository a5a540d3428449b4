/* SPDX-License-Identifier: MIT */
/* Answers about a session; see session.h. */
#include "daemon/session.h"

#include <string.h>

#include "daemon/clock.h"
#include "daemon/live_scan.h"

enum {
	RATE_MS = 5000,    /* allocations a second are of this last time */
	GROWTH_MS = 60000, /* growth is the slope over this */
};

uint64_t ma_session_clock_ms(const struct ma_session *session)
{
	if (session->end.time_ns)
		return session->end.clock_ms;
	return ma_clock_monotonic_ns() / 1000000 - session->attach_monotonic_ms;
}

uint64_t ma_session_time_ns(const struct ma_session *session, uint64_t clock_ms)
{
	return session->map.ident.attach_realtime_ns + clock_ms * 1000000;
}

struct ma_heap_view ma_session_view(const struct ma_session *session)
{
	const struct ma_area *area = session->map.area;
	bool exact = session->map.ident.mode == MA_MODE_EXACT;
	return (struct ma_heap_view){
		.state = &session->heap,
		.exact = exact ? &area->exact : NULL,
		.site_count = __atomic_load_n(&area->tables.site_count, __ATOMIC_ACQUIRE),
	};
}

/* What a look at everything that is live fills. */
struct look {
	struct ma_session_held *held;
	bool exact;
};

static void count_held(void *context, uint64_t address, const struct ma_heap_sample *sample)
{
	(void)address;
	struct look *look = context;
	if (sample->birth_ms <= look->held->latest_birth_ms)
		ma_heap_state_relive(&look->held->heap, sample);
	if (!look->exact)
		return;
	struct ma_size_class *class =
		&look->held->exact_classes[ma_heap_size_class(sample->size_bytes)];
	class->live_bytes += sample->size_bytes * MA_BYTES_UNITS;
	class->live_count += MA_COUNT_UNITS;
}

static void count_regions(const struct ma_session *session, struct ma_session_held *held)
{
	for (size_t i = 0; i < session->regions.count; i++) {
		const struct ma_region_piece *piece = &session->regions.pieces[i];
		struct ma_heap_sample sample = {.size_bytes = piece->region->size_bytes,
						.site = piece->region->site,
						.domain = MA_DOMAIN_MMAP};
		if (piece->region->birth_ms <= held->latest_birth_ms)
			ma_heap_state_relive_region(&held->heap, &sample, piece->end - piece->start,
						    true);
	}
}

void ma_session_held(const struct ma_session *session, uint64_t age_ms,
		     struct ma_session_held *held)
{
	const struct ma_area_map *map = &session->map;
	uint64_t clock_ms = ma_session_clock_ms(session);
	bool exact = map->ident.mode == MA_MODE_EXACT;
	memset(held, 0, sizeof *held);
	ma_heap_state_init(&held->heap, session->heap.limit);
	if (age_ms > clock_ms)
		return; /* nothing is that old */
	held->latest_birth_ms = clock_ms - age_ms;
	struct look look = {.held = held, .exact = exact};
	if (session->state != MA_SESSION_TRACKING) {
		ma_ledger_held(&session->ledger, (uint32_t)held->latest_birth_ms, &held->heap);
		memcpy(held->exact_classes, session->exact_classes, sizeof held->exact_classes);
	} else if (exact) {
		ma_live_scan_exact(map->area, map->bytes - sizeof *map->area, count_held, &look);
	} else {
		ma_live_scan_sampled(map->area, count_held, &look);
	}
	count_regions(session, held);
}

void ma_session_held_fini(struct ma_session_held *held)
{
	ma_heap_state_fini(&held->heap);
}

double ma_session_allocation_rate(const struct ma_session *session)
{
	struct ma_heap_view view = ma_session_view(session);
	struct ma_site_view total;
	uint32_t peak_ms;
	ma_heap_view_total(&view, &total, &peak_ms);
	uint64_t now_ms = ma_session_clock_ms(session);
	const struct ma_timeline *timeline = &session->timeline;
	uint64_t attach_ns = session->map.ident.attach_realtime_ns;
	uint64_t since_ms = 0;
	double since_bytes = 0;
	for (uint32_t i = timeline->count; i > 0 && now_ms > RATE_MS; i--) {
		const struct ma_timeline_point *point = &timeline->points[i - 1];
		uint64_t point_ms = (point->time_ns - attach_ns) / 1000000;
		if (point_ms + RATE_MS > now_ms)
			continue;
		since_ms = point_ms;
		since_bytes = point->allocated_bytes;
		break;
	}
	double seconds = (double)(now_ms - since_ms) / 1000;
	double bytes = total.allocated_bytes - since_bytes;
	return seconds > 0 && bytes > 0 ? bytes / seconds : 0;
}

/* The slope of a straight line through the last minute (least squares). */
double ma_session_growth_rate(const struct ma_session *session)
{
	const struct ma_timeline *timeline = &session->timeline;
	if (timeline->count < 2)
		return 0;
	const struct ma_timeline_point *last = &timeline->points[timeline->count - 1];
	double n = 0, t_sum = 0, y_sum = 0, tt_sum = 0, ty_sum = 0;
	for (uint32_t i = timeline->count; i > 0; i--) {
		const struct ma_timeline_point *point = &timeline->points[i - 1];
		if (last->time_ns - point->time_ns > GROWTH_MS * UINT64_C(1000000))
			break;
		double t = -(double)(last->time_ns - point->time_ns) / 1e9;
		double y =
			(double)(last->cgroup_limit_bytes ? point->cgroup_bytes : point->rss_bytes);
		n++;
		t_sum += t;
		y_sum += y;
		tt_sum += t * t;
		ty_sum += t * y;
	}
	double spread = n * tt_sum - t_sum * t_sum;
	return spread > 0 ? (n * ty_sum - t_sum * y_sum) / spread : 0;
}

double ma_session_cost(const struct ma_session *session)
{
	return ma_governor_cost(&session->governor);
}

void ma_session_counters(const struct ma_session *session, struct ma_counters *counters)
{
	const uint64_t *from = (const uint64_t *)(const void *)&session->map.area->counters;
	uint64_t words[sizeof *counters / sizeof(uint64_t)];
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		words[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	memcpy(counters, words, sizeof words);
}
