/* SPDX-License-Identifier: MIT */
/* The summary as JSON; see docs/json.md. Everything that the screen shows is in it, unrounded. */
#include "cli/summary_json.h"

#include "cli/size_classes.h"
#include "cli/windows_view.h"
#include "proto/interval.h"

static void write_process(struct ma_json *json, const Memattach__Process *process)
{
	ma_json_integer(json, "pid", process->pid);
	ma_json_string(json, "command", process->command);
	ma_json_string(json, "executable", process->executable);
	ma_json_string(json, "python", process->python_version);
	ma_json_unsigned(json, "uid", process->uid);
	ma_json_unsigned(json, "threads", process->threads);
	ma_json_time(json, "started", process->start_time_nanos);
	ma_summary_json_end(json, process->end);
}

void ma_summary_json_end(struct ma_json *json, const Memattach__End *end)
{
	static const char *const names[] = {
		[MEMATTACH__END__HOW__UNKNOWN] = "unknown",
		[MEMATTACH__END__HOW__EXITED] = "exited",
		[MEMATTACH__END__HOW__SIGNALED] = "signaled",
		[MEMATTACH__END__HOW__DETACHED] = "detached",
		[MEMATTACH__END__HOW__EXECED] = "execed",
		[MEMATTACH__END__HOW__LOST] = "lost",
	};
	if (!end) {
		ma_json_null(json, "ended");
		return;
	}
	unsigned how = (unsigned)end->how;
	ma_json_begin_object(json, "ended");
	ma_json_time(json, "time", end->time_nanos);
	ma_json_string(json, "how", how < sizeof names / sizeof names[0] ? names[how] : names[0]);
	ma_json_integer(json, "code", end->code);
	ma_json_integer(json, "signal", end->signal);
	ma_json_bool(json, "oom_killed", end->oom_killed);
	ma_json_bool(json, "core_dumped", end->core_dumped);
	ma_json_string(json, "sentence", end->sentence);
	ma_json_end_object(json);
}

static void write_sampling(struct ma_json *json, const struct ma_summary *summary)
{
	const Memattach__Heap *heap = summary->profile->heap;
	const Memattach__Sampler *sampler = heap->sampler;
	if (!sampler) {
		ma_json_null(json, "sampling");
		return;
	}
	bool exact = sampler->mode == MEMATTACH__SAMPLER__MODE__EXACT;
	ma_json_begin_object(json, "sampling");
	ma_json_string(json, "mode", exact ? "exact" : sampler->n_rate ? "classes" : "sampled");
	ma_json_unsigned(json, "interval_bytes", sampler->interval_bytes);
	ma_json_unsigned(json, "interval_min_bytes", sampler->interval_min_bytes);
	ma_json_unsigned(json, "interval_max_bytes", sampler->interval_max_bytes);
	ma_windows_json(json, "windows_open_ratio", sampler->window_exponent_max);
	ma_size_classes_json(json, sampler->rate, sampler->n_rate);
	ma_json_unsigned(json, "samples", sampler->samples);
	if (heap->cost_ratio >= 0)
		ma_json_real(json, "cost_ratio", heap->cost_ratio);
	else
		ma_json_null(json, "cost_ratio");
	if (summary->session && summary->session->budget_ratio > 0)
		ma_json_real(json, "budget_ratio", summary->session->budget_ratio);
	else
		ma_json_null(json, "budget_ratio");
	ma_json_end_object(json);
}

static void write_memory(struct ma_json *json, const Memattach__Memory *memory)
{
	if (!memory) {
		ma_json_null(json, "memory");
		return;
	}
	ma_json_begin_object(json, "memory");
	ma_json_unsigned(json, "rss_bytes", memory->rss_bytes);
	ma_json_unsigned(json, "rss_anonymous_bytes", memory->rss_anonymous_bytes);
	ma_json_unsigned(json, "rss_file_bytes", memory->rss_file_bytes);
	ma_json_unsigned(json, "rss_shared_bytes", memory->rss_shared_bytes);
	ma_json_unsigned(json, "rss_peak_bytes", memory->rss_peak_bytes);
	ma_json_unsigned(json, "rss_at_attach_bytes", memory->rss_at_attach_bytes);
	ma_json_unsigned(json, "pss_bytes", memory->pss_bytes);
	ma_json_unsigned(json, "uss_bytes", memory->uss_bytes);
	ma_json_unsigned(json, "swap_bytes", memory->swap_bytes);
	ma_json_unsigned(json, "virtual_bytes", memory->virtual_bytes);
	ma_json_unsigned(json, "minor_faults", memory->minor_faults);
	ma_json_unsigned(json, "major_faults", memory->major_faults);
	ma_json_unsigned(json, "limit_bytes", memory->cgroup_limit_bytes);
	ma_json_unsigned(json, "cgroup_bytes", memory->cgroup_bytes);
	ma_json_string(json, "cgroup_path", memory->cgroup_path);
	ma_json_real(json, "growth_bytes_per_second", memory->growth_bytes_per_second);
	ma_json_end_object(json);
}

/* {"bytes", "low_bytes", "high_bytes", "count", "low_count", "high_count"}, left open for more. */
static void begin_estimate(struct ma_json *json, const char *key, const struct ma_estimate *bytes,
			   const struct ma_interval *interval, const struct ma_estimate *count)
{
	struct ma_interval of_count = ma_interval_95_of_count(count, bytes);
	ma_json_begin_object(json, key);
	ma_json_whole(json, "bytes", bytes->value);
	ma_json_whole(json, "low_bytes", interval->low);
	ma_json_whole(json, "high_bytes", interval->high);
	ma_json_whole(json, "count", count->value);
	ma_json_whole(json, "low_count", of_count.low);
	ma_json_whole(json, "high_count", of_count.high);
}

static void write_estimate(struct ma_json *json, const char *key, const struct ma_estimate *bytes,
			   const struct ma_estimate *count)
{
	struct ma_interval interval = ma_interval_95(bytes);
	begin_estimate(json, key, bytes, &interval, count);
	ma_json_end_object(json);
}

static void write_totals(struct ma_json *json, const Memattach__Heap *heap)
{
	const Memattach__Totals *totals = heap->totals;
	if (!totals) {
		ma_json_null(json, "totals");
		return;
	}
	const struct ma_heap_figures figures = ma_heap_totals(totals);
	struct ma_interval held = ma_interval_95(&figures.held);
	struct ma_interval peak = ma_heap_peak_interval(totals);
	struct ma_interval allocated = ma_interval_95(&figures.allocated);
	ma_json_begin_object(json, "totals");
	begin_estimate(json, "held", &figures.held, &held, &figures.held_count);
	ma_json_real(json, "age_seconds", (double)heap->held_age_nanos / 1e9);
	ma_json_end_object(json);
	write_estimate(json, "live", &figures.live, &figures.live_count);
	begin_estimate(json, "peak", &figures.peak, &peak, &figures.peak_count);
	ma_json_time(json, "time", heap->peak_time_nanos);
	ma_json_end_object(json);
	begin_estimate(json, "allocated", &figures.allocated, &allocated, &figures.allocated_count);
	ma_json_whole(json, "bytes_per_second", totals->allocated_bytes_per_second);
	ma_json_end_object(json);
	ma_json_end_object(json);
}

static void write_figures(struct ma_json *json, const struct ma_heap_figures *figures)
{
	write_estimate(json, "held", &figures->held, &figures->held_count);
	write_estimate(json, "live", &figures->live, &figures->live_count);
	write_estimate(json, "peak", &figures->peak, &figures->peak_count);
	write_estimate(json, "allocated", &figures->allocated, &figures->allocated_count);
	ma_json_unsigned(json, "live_samples", figures->live_samples);
	ma_json_unsigned(json, "sites", figures->sites);
}

/* The members of a place; the caller has begun the object. */
static void write_place(struct ma_json *json, const struct ma_place *place)
{
	ma_json_string(json, "function", place->function);
	ma_json_string(json, "file", place->file);
	ma_json_integer(json, "line", place->line);
	ma_json_string(json, "kind", place->module[0] ? "native" : "python");
	if (place->module[0])
		ma_json_string(json, "module", place->module);
}

static void write_native(struct ma_json *json, const struct ma_native_path *native)
{
	if (!native->entry.function[0]) {
		ma_json_null(json, "native");
		return;
	}
	ma_json_begin_object(json, "native");
	ma_json_begin_object(json, "entry");
	write_place(json, &native->entry);
	ma_json_end_object(json);
	ma_json_begin_object(json, "leaf");
	write_place(json, &native->leaf);
	ma_json_end_object(json);
	ma_json_real(json, "share", native->share);
	ma_json_end_object(json);
}

static void write_caller(struct ma_json *json, const struct ma_heap_row *row)
{
	if (!row->caller.function[0]) {
		ma_json_null(json, "caller");
		return;
	}
	ma_json_begin_object(json, "caller");
	write_place(json, &row->caller);
	ma_json_real(json, "share", row->caller_share);
	ma_json_unsigned(json, "of", row->callers);
	ma_json_end_object(json);
}

static void write_lines(struct ma_json *json, const struct ma_summary *summary)
{
	struct ma_heap_rows rows;
	struct ma_heap_figures others = {0};
	ma_heap_rows_make(&rows, summary->profile, summary->top);
	ma_json_begin_array(json, "lines");
	for (size_t i = 0; i < rows.count; i++) {
		if (i >= summary->top) {
			ma_heap_figures_add(&others, &rows.rows[i].figures);
			continue;
		}
		ma_json_begin_object(json, NULL);
		write_place(json, &rows.rows[i].place);
		write_caller(json, &rows.rows[i]);
		write_native(json, &rows.rows[i].native);
		write_figures(json, &rows.rows[i].figures);
		ma_json_end_object(json);
	}
	ma_json_end_array(json);
	ma_json_begin_object(json, "other_lines");
	ma_json_unsigned(json, "lines", rows.count > summary->top ? rows.count - summary->top : 0);
	write_figures(json, &others);
	ma_json_end_object(json);
	ma_heap_rows_fini(&rows);
}

static void write_not_seen(struct ma_json *json, const Memattach__Heap *heap)
{
	const Memattach__Loss none = MEMATTACH__LOSS__INIT;
	const Memattach__Loss *loss = heap->loss ? heap->loss : &none;
	ma_json_begin_object(json, "not_seen");
	ma_json_whole(json, "resolution_bytes", ma_heap_resolution(heap));
	ma_json_unsigned(json, "dropped_allocs", loss->dropped_allocs);
	ma_json_unsigned(json, "dropped_frees", loss->dropped_frees);
	ma_json_unsigned(json, "dropped_maps", loss->dropped_maps);
	ma_json_unsigned(json, "implicit_frees", loss->implicit_frees);
	ma_json_unsigned(json, "reentered", loss->reentered);
	ma_json_unsigned(json, "stacks_truncated", loss->stacks_truncated);
	ma_json_unsigned(json, "stacks_broken", loss->stacks_broken);
	ma_json_unsigned(json, "frames_unknown", loss->frames_unknown);
	ma_json_unsigned(json, "native_cut", loss->native_cut);
	ma_json_unsigned(json, "native_no_stack", loss->native_no_stack);
	ma_json_unsigned(json, "tables_full", loss->tables_full);
	ma_json_unsigned(json, "tables_busy", loss->tables_busy);
	ma_json_unsigned(json, "sites_merged", loss->sites_merged);
	ma_json_unsigned(json, "gaps", loss->gaps);
	ma_json_unsigned(json, "malformed", loss->malformed);
	ma_json_end_object(json);
}

void ma_summary_json_write(struct ma_json *json, const struct ma_summary *summary)
{
	const Memattach__Heap *heap = summary->profile->heap;
	ma_json_begin_object(json, NULL);
	if (heap->process)
		write_process(json, heap->process);
	ma_json_time(json, "attached", heap->attach_time_nanos);
	ma_json_time(json, "snapshot", heap->snapshot_time_nanos);
	write_sampling(json, summary);
	write_memory(json, heap->memory);
	write_totals(json, heap);
	write_lines(json, summary);
	write_not_seen(json, heap);
	ma_json_begin_array(json, "notes");
	for (size_t i = 0; i < heap->n_note; i++) {
		ma_json_begin_object(json, NULL);
		ma_json_time(json, "time", heap->note[i]->time_nanos);
		ma_json_string(json, "text", heap->note[i]->text);
		ma_json_end_object(json);
	}
	ma_json_end_array(json);
	ma_json_end_object(json);
}
