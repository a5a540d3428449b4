/* SPDX-License-Identifier: MIT */
/* See session_report.h. */
#include "daemon/session_report.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/size_rates.h"
#include "daemon/snapshot_build.h"

/* "killed by SIGKILL at 14:03:02" */
static char *ended_text(const struct ma_session *session, struct ma_pool *pool)
{
	char text[sizeof session->end.sentence + 32], clock[16];
	struct tm local;
	time_t at = (time_t)(session->end.time_ns / 1000000000U);
	localtime_r(&at, &local);
	strftime(clock, sizeof clock, "%H:%M:%S", &local);
	snprintf(text, sizeof text, "%s at %s", session->end.sentence, clock);
	return ma_pool_text(pool, text);
}

/* The notes, one per line. */
static char *notice_text(const struct ma_session *session, struct ma_pool *pool)
{
	size_t room = 1;
	for (uint32_t i = 0; i < session->notes.count; i++)
		room += strlen(session->notes.notes[i].text) + 1;
	char *text = ma_pool_alloc(pool, room, 1);
	char *at = text;
	for (uint32_t i = 0; text && i < session->notes.count; i++) {
		if (i)
			*at++ = '\n';
		at = stpcpy(at, session->notes.notes[i].text);
	}
	return text;
}

static void fill_heap(const struct ma_session *session, Memattach__Session *report)
{
	struct ma_heap_view view = ma_session_view(session);
	struct ma_site_view total;
	uint32_t peak_ms;
	ma_heap_view_total(&view, &total, &peak_ms);
	report->live_bytes = total.live_bytes;
	report->live_bytes_variance = total.live.bytes_variance;
	report->live_bytes_third = (float)total.live.bytes_third;
	report->live_bytes_shared = (float)total.live.bytes_shared;
	report->window_exponent_max = session->heap.window_exponent_max;
	report->unseen_bytes = ma_heap_state_unseen(&session->heap);
	report->peak_bytes = total.peak_bytes;
	if (total.peak_bytes > 0)
		report->peak_time_nanos = ma_session_time_ns(session, peak_ms);
	report->allocated_bytes = total.allocated_bytes;
	report->sites = view.site_count;
}

static void fill_figures(const struct ma_session *session, Memattach__Session *report,
			 struct ma_pool *pool)
{
	struct ma_counters counters;
	ma_session_counters(session, &counters);
	report->samples = counters.samples;
	report->drops = counters.dropped_allocs + counters.dropped_frees + counters.dropped_maps;
	report->rss_bytes = session->figures.rss_bytes;
	const struct ma_cgroup_figures *cgroup = &session->figures.cgroup;
	report->cgroup_bytes = cgroup->limit_bytes ? cgroup->limit_use_bytes : cgroup->use_bytes;
	report->cgroup_limit_bytes = cgroup->limit_bytes;
	if (session->map.ident.mode == MA_MODE_SAMPLED)
		report->interval_bytes = session->governor.interval_bytes;
	report->budget_ratio = session->governor.budget_ratio;
	report->cost_ratio = ma_session_cost(session);
	report->fast_ratio = session->governor.fast_ratio;
	report->fixed_interval = session->governor.fixed;
	report->window_exponent = session->governor.exponent;
	report->rate = ma_size_rates(&session->map.ident, pool, &report->n_rate);
}

void ma_session_report_cost(const struct ma_session *session, Memattach__Session *report,
			    struct ma_pool *pool)
{
	const struct ma_cost_history *history = &session->governor.history;
	Memattach__CostSpan *spans = ma_pool_alloc(pool, history->count + 1, sizeof *spans);
	Memattach__CostSpan **list = ma_pool_alloc(pool, history->count + 1, sizeof *list);
	for (uint32_t i = 0; spans && list && i < history->count; i++) {
		const struct ma_cost_span *from = &history->spans[i];
		list[i] = &spans[i];
		spans[i] = (Memattach__CostSpan)MEMATTACH__COST_SPAN__INIT;
		spans[i].end_time_nanos =
			ma_session_time_ns(session, from->end_ms - session->attach_monotonic_ms);
		spans[i].span_ms = from->span_ms;
		spans[i].interval_bytes =
			session->map.ident.mode == MA_MODE_SAMPLED ? from->interval_bytes : 0;
		spans[i].window_exponent = from->window_exponent;
		spans[i].slow_ratio = from->slow_ratio;
		spans[i].fast_ratio = from->fast_ratio;
		spans[i].operations_per_second = from->operations_per_second;
	}
	report->cost = list;
	report->n_cost = spans && list ? history->count : 0;
}

Memattach__Session *ma_session_report(const struct ma_session *session, struct ma_pool *pool)
{
	Memattach__Session *report = ma_pool_alloc(pool, 1, sizeof *report);
	if (!report)
		return NULL;
	*report = (Memattach__Session)MEMATTACH__SESSION__INIT;
	report->pid = session->pid;
	report->executable = (char *)session->executable;
	report->command = (char *)session->command;
	report->python_version = (char *)session->python_version;
	report->state = (Memattach__Session__State)session->state;
	report->attach_time_nanos = session->map.ident.attach_realtime_ns;
	report->mode = session->map.ident.mode;
	report->hook_running_us = session->hook_running_us;
	report->pause_us = session->pause_us;
	report->keep = session->keep;
	report->uid = session->uid;
	report->expires_time_nanos = ma_session_expires_ns(session);
	report->end_time_nanos = session->end.time_ns;
	report->native = session->modules.count > 0;
	report->names_pending = ma_native_pending(&session->native);
	fill_heap(session, report);
	fill_figures(session, report, pool);
	char *ended = session->state != MA_SESSION_TRACKING ? ended_text(session, pool) : NULL;
	char *notice = notice_text(session, pool);
	if (ended)
		report->ended = ended;
	if (notice)
		report->notice = notice;
	return report;
}
