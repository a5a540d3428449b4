/* SPDX-License-Identifier: MIT */
/* Field 1000 of a snapshot: everything that pprof has no place for; see snapshot_builder.h. */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/size_rates.h"
#include "daemon/snapshot_builder.h"
#include "daemon/text.h"
#include "proto/snapshot.h"

/* What every part below writes into and reads from. */
struct filling {
	struct ma_pool *pool;
	Memattach__Heap *heap;
	struct ma_session *session;
	struct ma_counters counters;
};

static char *text_of(struct filling *filling, const char *text)
{
	char *copy = ma_pool_text(filling->pool, text);
	return copy ? copy : (char *)protobuf_c_empty_string;
}

static Memattach__End *make_end(struct filling *filling)
{
	const struct ma_session_end *from = &filling->session->end;
	Memattach__End *end = ma_pool_alloc(filling->pool, 1, sizeof *end);
	if (!end)
		return NULL;
	memattach__end__init(end);
	end->time_nanos = from->time_ns;
	end->how = (Memattach__End__How)from->how;
	end->code = from->code;
	end->signal = from->signal;
	end->oom_killed = from->oom_killed;
	end->core_dumped = from->core_dumped;
	end->sentence = text_of(filling, from->sentence);
	return end;
}

static void fill_process(struct filling *filling)
{
	const struct ma_session *session = filling->session;
	Memattach__Process *process = ma_pool_alloc(filling->pool, 1, sizeof *process);
	if (!process)
		return;
	memattach__process__init(process);
	char raw[HOST_NAME_MAX + 1] = "", host[4 * HOST_NAME_MAX];
	if (gethostname(raw, sizeof raw - 1) < 0)
		raw[0] = 0;
	ma_text_from_bytes(host, sizeof host, raw, strlen(raw));
	process->pid = session->pid;
	process->executable = text_of(filling, session->executable);
	process->command = text_of(filling, session->command);
	process->python_version = text_of(filling, session->python_version);
	process->host = text_of(filling, host);
	process->uid = session->uid;
	process->start_time_nanos = session->process.start_time_ns;
	process->threads = session->figures.threads;
	if (session->state != MA_SESSION_TRACKING)
		process->end = make_end(filling);
	filling->heap->process = process;
}

static void fill_sampler(struct filling *filling)
{
	const struct ma_session *session = filling->session;
	Memattach__Sampler *sampler = ma_pool_alloc(filling->pool, 1, sizeof *sampler);
	if (!sampler)
		return;
	memattach__sampler__init(sampler);
	bool exact = session->map.ident.mode == MA_MODE_EXACT;
	sampler->mode = exact ? MEMATTACH__SAMPLER__MODE__EXACT : MEMATTACH__SAMPLER__MODE__SAMPLED;
	if (session->map.ident.mode == MA_MODE_SAMPLED) {
		sampler->interval_bytes = session->governor.interval_bytes;
		sampler->interval_min_bytes = session->governor.min_bytes;
		sampler->interval_max_bytes = session->governor.max_bytes;
	}
	sampler->unseen_bytes = ma_heap_state_unseen_site(&session->heap);
	sampler->window_exponent_max = session->heap.window_exponent_max;
	sampler->rate = ma_size_rates(&session->map.ident, filling->pool, &sampler->n_rate);
	sampler->samples = filling->counters.samples;
	sampler->sample_frees = filling->counters.sample_frees;
	filling->heap->sampler = sampler;
	filling->heap->cost_ratio = ma_session_cost(session);
}

static void fill_loss(struct filling *filling)
{
	const struct ma_session *session = filling->session;
	const struct ma_counters *counters = &filling->counters;
	Memattach__Loss *loss = ma_pool_alloc(filling->pool, 1, sizeof *loss);
	if (!loss)
		return;
	memattach__loss__init(loss);
	loss->dropped_allocs = counters->dropped_allocs;
	loss->dropped_frees = counters->dropped_frees;
	loss->dropped_maps = counters->dropped_maps + session->regions.refused;
	loss->implicit_frees = counters->implicit_frees;
	loss->reentered = counters->reentered;
	loss->stacks_truncated = counters->stacks_truncated;
	loss->stacks_broken = counters->stacks_broken;
	loss->frames_unknown = counters->frames_unknown;
	loss->tables_full = counters->tables_full;
	loss->tables_busy = counters->tables_busy;
	loss->sites_merged = session->heap.merged_sites;
	loss->gaps = session->ingest.gaps;
	loss->malformed = session->ingest.malformed;
	loss->native_cut = counters->native_no_module + counters->native_no_stack +
			   counters->native_no_rule + counters->native_broken +
			   counters->native_deep;
	loss->native_no_stack = counters->native_no_stack;
	filling->heap->loss = loss;
}

/* Where the uncertainty of a value goes, in a message. */
struct spread_fields {
	double *bytes_variance, *count_variance;
	float *bytes_third, *count_third;
	float *bytes_shared, *count_shared;
};

enum { VALUES = 4 };

/* Those of all values; totals and sites have them under the same names. */
#define FIELDS_OF(message, value)                                                                  \
	{                                                                                          \
		&(message)->value##_bytes_variance, &(message)->value##_count_variance,            \
			&(message)->value##_bytes_third, &(message)->value##_count_third,          \
			&(message)->value##_bytes_shared, &(message)->value##_count_shared         \
	}
#define ALL_FIELDS_OF(message)                                                                     \
	{                                                                                          \
		FIELDS_OF(message, live), FIELDS_OF(message, peak), FIELDS_OF(message, allocated), \
			FIELDS_OF(message, held)                                                   \
	}

/* Four digits are enough for a curve or for a skew, and bytes of zeros compress to nothing. */
static float coarse(double value)
{
	float single = value < FLT_MAX ? (float)value : FLT_MAX;
	uint32_t bits;
	memcpy(&bits, &single, sizeof bits);
	bits = (bits + (1U << 8)) & ~((UINT32_C(1) << 9) - 1);
	memcpy(&single, &bits, sizeof single);
	return isfinite(single) ? single : 0;
}

static void fill_spreads(const struct spread_fields fields[VALUES],
			 const struct ma_site_view *values, const struct ma_site_view *held)
{
	const struct ma_spread *spreads[VALUES] = {&values->live, &values->peak, &values->allocated,
						   &held->live};
	for (int i = 0; i < VALUES; i++) {
		*fields[i].bytes_variance = spreads[i]->bytes_variance;
		*fields[i].count_variance = spreads[i]->count_variance;
		*fields[i].bytes_third = coarse(spreads[i]->bytes_third);
		*fields[i].count_third = coarse(spreads[i]->count_third);
		*fields[i].bytes_shared = coarse(spreads[i]->bytes_shared);
		*fields[i].count_shared = coarse(spreads[i]->count_shared);
	}
}

static void fill_totals(struct filling *filling, const struct ma_session_held *held)
{
	const struct ma_session *session = filling->session;
	Memattach__Totals *totals = ma_pool_alloc(filling->pool, 1, sizeof *totals);
	if (!totals)
		return;
	memattach__totals__init(totals);
	struct ma_heap_view view = ma_session_view(session);
	struct ma_site_view all, kept;
	uint32_t peak_ms;
	ma_heap_view_total(&view, &all, &peak_ms);
	ma_heap_state_total(&held->heap, &kept);
	totals->allocated_bytes = all.allocated_bytes;
	totals->allocated_count = all.allocated_count;
	totals->live_bytes = all.live_bytes;
	totals->live_count = all.live_count;
	totals->peak_bytes = all.peak_bytes;
	totals->peak_count = all.peak_count;
	const struct spread_fields fields[VALUES] = ALL_FIELDS_OF(totals);
	fill_spreads(fields, &all, &kept);
	totals->held_bytes = kept.live_bytes;
	totals->held_count = kept.live_count;
	totals->allocated_bytes_per_second = ma_session_allocation_rate(session);
	totals->unseen_bytes = ma_heap_state_unseen(&session->heap);
	totals->peak_excess_bytes = ma_heap_state_peak_excess(&session->heap);
	filling->heap->totals = totals;
	if (all.peak_bytes > 0)
		filling->heap->peak_time_nanos = ma_session_time_ns(session, peak_ms);
}

static void fill_sites(struct filling *filling, const struct ma_built_samples *built)
{
	const struct ma_built_sample *samples = built->samples;
	size_t count = built->count;
	Memattach__SiteDetail **details =
		ma_snapshot_messages(filling->pool, count, sizeof **details);
	double unseen = ma_heap_state_unseen(&filling->session->heap);
	if (!details)
		return;
	for (size_t i = 0; i < count; i++) {
		const struct ma_site_view *values = &samples[i].values;
		const struct ma_site_view *held = &samples[i].held;
		Memattach__SiteDetail *detail = details[i];
		*detail = (Memattach__SiteDetail)MEMATTACH__SITE_DETAIL__INIT;
		const struct spread_fields fields[VALUES] = ALL_FIELDS_OF(detail);
		fill_spreads(fields, values, held);
		detail->held_bytes = held->live_bytes;
		detail->held_count = held->live_count;
		detail->unseen_bytes = samples[i].certain ? 0 : unseen;
		detail->live_samples = values->live_samples;
		detail->allocated_samples = values->allocated_samples;
		detail->first_seen_nanos = ma_session_time_ns(filling->session, values->first_ms);
		detail->last_seen_nanos = ma_session_time_ns(filling->session, values->last_ms);
		detail->flags = samples[i].flags;
	}
	filling->heap->n_site = count;
	filling->heap->site = details;
}

static void fill_timeline(struct filling *filling)
{
	const struct ma_timeline *timeline = &filling->session->timeline;
	Memattach__TimelinePoint **points =
		ma_snapshot_messages(filling->pool, timeline->count, sizeof **points);
	if (!points)
		return;
	for (uint32_t i = 0; i < timeline->count; i++) {
		const struct ma_timeline_point *from = &timeline->points[i];
		Memattach__TimelinePoint *point = points[i];
		*point = (Memattach__TimelinePoint)MEMATTACH__TIMELINE_POINT__INIT;
		point->time_nanos = from->time_ns;
		point->live_bytes = from->live_bytes;
		point->live_bytes_max = from->live_bytes_max;
		point->allocated_bytes = from->allocated_bytes;
		point->rss_bytes = from->rss_bytes;
		point->swap_bytes = from->swap_bytes;
		point->cgroup_bytes = from->cgroup_bytes;
		point->cgroup_limit_bytes = from->cgroup_limit_bytes;
		point->minor_faults = from->minor_faults;
		point->major_faults = from->major_faults;
	}
	filling->heap->n_timeline = timeline->count;
	filling->heap->timeline = points;
}

/* Makes a series long enough to begin at `first`. Returns false when memory ran out. */
static bool begin_series(struct filling *filling, Memattach__Series *series, uint32_t first)
{
	uint32_t count = filling->session->timeline.count - first;
	double *live = ma_pool_alloc(filling->pool, count, sizeof *live);
	double *allocated = ma_pool_alloc(filling->pool, count, sizeof *allocated);
	if (!live || !allocated)
		return false;
	if (series->n_live_bytes) {
		size_t later = series->first_point - first;
		memcpy(live + later, series->live_bytes, series->n_live_bytes * sizeof *live);
		memcpy(allocated + later, series->allocated_bytes,
		       series->n_live_bytes * sizeof *allocated);
	}
	series->first_point = first;
	series->live_bytes = live;
	series->allocated_bytes = allocated;
	series->n_live_bytes = count;
	series->n_allocated_bytes = count;
	return true;
}

/* Adds the series of a site to that of its sample. */
static void add_series(struct filling *filling, Memattach__Series *series, uint32_t slot)
{
	const struct ma_timeline *timeline = &filling->session->timeline;
	uint32_t first;
	uint32_t count = ma_timeline_series(timeline, slot, &first);
	if (count == 0 || ((!series->n_live_bytes || first < series->first_point) &&
			   !begin_series(filling, series, first)))
		return;
	for (uint32_t i = 0; i < count; i++) {
		struct ma_timeline_value value = ma_timeline_value_at(timeline, slot, first + i);
		size_t at = first + i - series->first_point;
		series->live_bytes[at] = coarse(series->live_bytes[at] + value.live_bytes);
		series->allocated_bytes[at] =
			coarse(series->allocated_bytes[at] + value.allocated_bytes);
	}
}

static void fill_series(struct filling *filling, const struct ma_built_samples *samples)
{
	const struct ma_timeline *timeline = &filling->session->timeline;
	Memattach__Series **all =
		ma_snapshot_messages(filling->pool, timeline->site_count, sizeof **all);
	struct ma_idmap series_of_sample = {0};
	size_t made = 0;
	for (uint32_t slot = 0; all && slot < timeline->site_count; slot++) {
		uint32_t sample = ma_idmap_find(samples->of_site, timeline->sites[slot].site),
			 first;
		if (sample == MA_IDMAP_NONE || ma_timeline_series(timeline, slot, &first) == 0)
			continue;
		uint32_t at = ma_idmap_find(&series_of_sample, sample);
		if (at == MA_IDMAP_NONE) {
			at = (uint32_t)made++;
			*all[at] = (Memattach__Series)MEMATTACH__SERIES__INIT;
			all[at]->sample_index = sample;
			if (!ma_idmap_add(&series_of_sample, sample, at))
				filling->pool->failed = true;
		}
		add_series(filling, all[at], slot);
	}
	ma_idmap_fini(&series_of_sample);
	if (!all)
		return;
	filling->heap->n_series = made;
	filling->heap->series = all;
}

static void fill_size_classes(struct filling *filling, const struct ma_session_held *held)
{
	const struct ma_session *session = filling->session;
	bool exact = session->map.ident.mode == MA_MODE_EXACT;
	Memattach__SizeClass **classes =
		ma_snapshot_messages(filling->pool, MA_HEAP_SIZE_CLASSES, sizeof **classes);
	if (!classes)
		return;
	size_t made = 0;
	for (int i = 0; i < MA_HEAP_SIZE_CLASSES; i++) {
		struct ma_size_class from = session->heap.classes[i];
		if (exact) {
			from.live_bytes += held->exact_classes[i].live_bytes;
			from.live_count += held->exact_classes[i].live_count;
		}
		if (from.allocated_count == 0 && from.live_count == 0)
			continue;
		Memattach__SizeClass *class = classes[made++];
		*class = (Memattach__SizeClass)MEMATTACH__SIZE_CLASS__INIT;
		class->low_bytes = UINT64_C(1) << i;
		class->allocated_count = (double)from.allocated_count / MA_COUNT_UNITS;
		class->allocated_bytes = (double)from.allocated_bytes / MA_BYTES_UNITS;
		class->live_count = (double)from.live_count / MA_COUNT_UNITS;
		class->live_bytes = (double)from.live_bytes / MA_BYTES_UNITS;
	}
	filling->heap->n_size_class = made;
	filling->heap->size_class = classes;
}

static void fill_memory(struct filling *filling, bool quick)
{
	struct ma_session *session = filling->session;
	struct ma_memory_figures fresh, *figures = &session->figures;
	Memattach__Memory *memory = ma_pool_alloc(filling->pool, 1, sizeof *memory);
	if (!memory)
		return;
	memattach__memory__init(memory);
	unsigned ask = quick ? 0 : MA_MEMORY_ASK_PSS;
	if (session->state == MA_SESSION_TRACKING &&
	    ma_process_memory_read(&session->process, ask, &fresh, NULL) == 0 &&
	    fresh.state != 'Z' && fresh.state != 'X')
		*figures = fresh;
	const struct ma_cgroup_figures *cgroup = &figures->cgroup;
	memory->rss_bytes = figures->rss_bytes;
	memory->rss_anonymous_bytes = figures->rss_anonymous_bytes;
	memory->rss_file_bytes = figures->rss_file_bytes;
	memory->rss_shared_bytes = figures->rss_shared_bytes;
	memory->rss_peak_bytes = figures->rss_peak_bytes;
	memory->pss_bytes = figures->pss_bytes;
	memory->uss_bytes = figures->uss_bytes;
	memory->swap_bytes = figures->swap_bytes;
	memory->minor_faults = figures->minor_faults;
	memory->major_faults = figures->major_faults;
	memory->cgroup_bytes = cgroup->limit_bytes ? cgroup->limit_use_bytes : cgroup->use_bytes;
	memory->cgroup_limit_bytes = cgroup->limit_bytes;
	memory->rss_at_attach_bytes = session->rss_at_attach_bytes;
	memory->growth_bytes_per_second = ma_session_growth_rate(session);
	char path[4 * sizeof session->process.cgroup.path];
	ma_text_from_bytes(
		path, sizeof path, session->process.cgroup.path,
		strnlen(session->process.cgroup.path, sizeof session->process.cgroup.path));
	memory->cgroup_path = text_of(filling, path);
	memory->virtual_bytes = figures->virtual_bytes;
	filling->heap->memory = memory;
}

static void fill_notes(struct filling *filling)
{
	const struct ma_notes *from = &filling->session->notes;
	Memattach__TimelineNote **notes =
		ma_snapshot_messages(filling->pool, from->count, sizeof **notes);
	if (!notes)
		return;
	for (uint32_t i = 0; i < from->count; i++) {
		*notes[i] = (Memattach__TimelineNote)MEMATTACH__TIMELINE_NOTE__INIT;
		notes[i]->time_nanos = from->notes[i].time_ns;
		notes[i]->text = text_of(filling, from->notes[i].text);
	}
	filling->heap->n_note = from->count;
	filling->heap->note = notes;
}

void ma_snapshot_fill_heap(struct ma_snapshot *snapshot, struct ma_session *session,
			   const struct ma_snapshot_query *query,
			   const struct ma_session_held *held,
			   const struct ma_built_samples *samples)
{
	struct filling filling = {.pool = &snapshot->pool, .session = session};
	Memattach__Heap *heap = ma_pool_alloc(&snapshot->pool, 1, sizeof *heap);
	if (!heap)
		return;
	memattach__heap__init(heap);
	filling.heap = heap;
	uint64_t clock_ms = ma_session_clock_ms(session);
	snapshot->profile->heap = heap;
	ma_session_counters(session, &filling.counters);
	heap->schema = MA_SNAPSHOT_SCHEMA;
	heap->attach_time_nanos = session->map.ident.attach_realtime_ns;
	heap->snapshot_time_nanos = ma_session_time_ns(session, clock_ms);
	heap->held_age_nanos =
		(query->held_age_ms ? query->held_age_ms : clock_ms / 2) * UINT64_C(1000000);
	heap->memattach_release = text_of(&filling, MA_RELEASE);
	fill_memory(&filling, query->quick);
	fill_process(&filling);
	fill_sampler(&filling);
	fill_loss(&filling);
	fill_totals(&filling, held);
	if (samples)
		fill_sites(&filling, samples);
	fill_timeline(&filling);
	if (samples && !query->without_series)
		fill_series(&filling, samples);
	fill_size_classes(&filling, held);
	fill_notes(&filling);
}
