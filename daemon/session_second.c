/* SPDX-License-Identifier: MIT */
/* What a tracking session does once a second; see session.h. */
#include "daemon/session.h"

#include <stdlib.h>

#include "daemon/clock.h"
#include "daemon/proc_maps.h"

enum {
	CGROUP_SECONDS = 10, /* between two looks whether the process moved to another cgroup */
	NAMES_SECONDS = 10,  /* between two looks for changed thread names */
	SLOTS_SECONDS = 5,   /* between two looks at call slots */
	MAPS_SECONDS = 10,   /* between two comparisons of regions with /proc/PID/maps */
};

static void read_figures(struct ma_session *session)
{
	struct ma_memory_figures figures;
	unsigned ask = session->seconds % CGROUP_SECONDS == 0 ? MA_MEMORY_ASK_CGROUP : 0;
	if (ma_process_memory_read(&session->process, ask, &figures, NULL) < 0)
		return;
	/* A zombie has no memory any more; its last figures are what people want to know. */
	if (figures.state != 'Z' && figures.state != 'X')
		session->figures = figures;
}

static void add_point(struct ma_session *session)
{
	const struct ma_memory_figures *figures = &session->figures;
	const struct ma_cgroup_figures *cgroup = &figures->cgroup;
	struct ma_heap_view view = ma_session_view(session);
	struct ma_site_view total;
	uint32_t peak_ms;
	ma_heap_view_total(&view, &total, &peak_ms);
	double live_max = (double)session->live_units_max / MA_BYTES_UNITS;
	struct ma_timeline_point point = {
		.time_ns = ma_session_time_ns(session, ma_session_clock_ms(session)),
		.live_bytes = total.live_bytes,
		.live_bytes_max = live_max > total.live_bytes ? live_max : total.live_bytes,
		.allocated_bytes = total.allocated_bytes,
		.rss_bytes = figures->rss_bytes,
		.swap_bytes = figures->swap_bytes,
		.cgroup_bytes = cgroup->limit_bytes ? cgroup->limit_use_bytes : cgroup->use_bytes,
		.cgroup_limit_bytes = cgroup->limit_bytes,
		.minor_faults = figures->minor_faults,
		.major_faults = figures->major_faults,
	};
	ma_timeline_add(&session->timeline, &point, &view);
	session->live_units_max = 0;
}

static void region_gone(void *context, const struct ma_region *region, uint64_t bytes,
			bool last_part)
{
	struct ma_session *session = context;
	struct ma_heap_sample sample = {
		.size_bytes = region->size_bytes, .site = region->site, .domain = MA_DOMAIN_MMAP};
	ma_heap_state_unmap(&session->heap, &sample, bytes, last_part);
}

/* Regions may go without our seeing it: events dropped, unmapped by code that is not hooked. */
static void verify_regions(struct ma_session *session)
{
	struct ma_counters counters;
	ma_session_counters(session, &counters);
	bool due = session->seconds % MAPS_SECONDS == 0 ||
		   counters.dropped_maps != session->dropped_maps;
	if (!due || session->regions.count == 0)
		return;
	session->dropped_maps = counters.dropped_maps;
	char *maps = ma_proc_maps_read(session->process.proc_fd);
	if (maps)
		ma_region_map_verify(&session->regions, maps, region_gone, session);
	free(maps);
}

static void watch_tables(struct ma_session *session)
{
	static const char *const domains[] = {"object", "mem"};
	unsigned back;
	unsigned gone = ma_hook_watch_tables(&session->watch, &back);
	uint64_t now_ns = ma_clock_realtime_ns();
	for (unsigned i = 0; i < MA_WATCH_TABLES; i++) {
		if (gone & 1U << i)
			ma_notes_add(&session->notes, now_ns,
				     "Python's allocator table of domain %s was replaced "
				     "(tracemalloc started or stopped?): small allocations of this "
				     "domain may no longer be seen. Detach and attach again to see "
				     "them.",
				     domains[i]);
		if (back & 1U << i)
			ma_notes_add(&session->notes, now_ns,
				     "Python's allocator table of domain %s leads to us again.",
				     domains[i]);
	}
}

static void watch_slots(struct ma_session *session)
{
	const struct ma_area_ident *ident = &session->map.ident;
	struct ma_slot_watch *slots = &session->slots;
	struct ma_counters counters;
	ma_session_counters(session, &counters);
	if (!ma_slot_watch_look(slots, session->pid, session->process.proc_fd, ident,
				counters.passes))
		return;
	if (slots->gone)
		ma_notes_add(
			&session->notes, ma_clock_realtime_ns(),
			"%u of %u call slots of malloc and its relatives were changed and lead "
			"into %s (a memory profiler?): what is allocated and freed through "
			"them is not seen. Detach and attach again to see it.",
			slots->gone, slots->count, slots->where);
	else
		ma_notes_add(&session->notes, ma_clock_realtime_ns(),
			     "The call slots of malloc and its relatives lead to us again.");
}

/* The hook says itself when it found its memory damaged. */
static bool hook_gave_up(const struct ma_session *session)
{
	struct ma_counters counters;
	ma_session_counters(session, &counters);
	return counters.fault == MA_FAULT_CORRUPT;
}

void ma_session_watch_hook(struct ma_session *session)
{
	if (session->detaching)
		return;
	if (hook_gave_up(session)) {
		ma_session_finish(session, MA_SESSION_HOOK_LOST,
				  "the hook found its memory damaged and switched itself off");
		return;
	}
	switch (ma_hook_watch_look(&session->watch, session->process.proc_fd)) {
	case MA_HOOK_PRESENT:
		watch_tables(session);
		if (session->seconds % SLOTS_SECONDS == 1)
			watch_slots(session);
		break;
	case MA_HOOK_UNKNOWN:
		break;
	case MA_HOOK_REMOVED:
		ma_session_finish(session, MA_SESSION_DETACHED,
				  "detached by somebody who did not ask this daemon");
		break;
	case MA_HOOK_TAKEN_OVER:
		ma_session_finish(session, MA_SESSION_DETACHED, "taken over by another daemon");
		break;
	case MA_HOOK_EXECED:
		ma_session_finish(session, MA_SESSION_EXECED, "became another program (exec)");
		break;
	}
}

static void note_budget(struct ma_session *session)
{
	const struct ma_governor *governor = &session->governor;
	bool steers_on = governor->has_windows && governor->exponent < MA_WINDOW_EXPONENT_MAX;
	if (governor->known && governor->budget_ratio > 0 && !governor->fixed && !steers_on &&
	    governor->fast_ratio > governor->budget_ratio)
		ma_notes_add(&session->notes, ma_clock_realtime_ns(),
			     "Merely passing through the hook costs more here than the budget of "
			     "%.1f %%; a larger interval does not help.",
			     100 * governor->budget_ratio);
}

/* Sampling ends; the hook stays where it is until somebody detaches, which we cannot do. */
static void expire(struct ma_session *session, uint64_t now_ms)
{
	if (session->keep ||
	    now_ms - session->query_monotonic_ms < MA_SESSION_EXPIRY_S * UINT64_C(1000))
		return;
	ma_session_finish(
		session, MA_SESSION_HOOK_LOST,
		"nobody asked for 24 h, so tracking ended; the hook stays in the process, "
		"switched off, until memattach detach %d",
		session->pid);
}

void ma_session_second(struct ma_session *session, uint64_t now_ms)
{
	int proc_fd = session->process.proc_fd;
	read_figures(session);
	add_point(session);
	if (session->seconds % NAMES_SECONDS == 0)
		ma_threads_refresh(&session->threads, session->map.area, proc_fd, true);
	ma_names_fetch_tables(&session->names, ma_names_read_process, &session->pid);
	ma_ring_claims_look(&session->claims, session->map.area->rings, proc_fd);
	verify_regions(session);
	note_budget(session);
	session->seconds++;
	ma_session_watch_hook(session);
	if (session->state == MA_SESSION_TRACKING)
		expire(session, now_ms);
}
