/* SPDX-License-Identifier: MIT */
/* The first screen, block by block; the table is in summary_table.c. */
#include "cli/summary_view.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/display.h"
#include "cli/flow.h"
#include "cli/format.h"
#include "cli/progress.h"
#include "cli/size_classes.h"
#include "cli/terminal.h"
#include "cli/windows_view.h"
#include "proto/interval.h"

enum { LABEL = 8, WIDE_LABEL = 10, LIMIT_CELLS = 20, NOTES_SHOWN = 6 };

#define GAP "   "
/* Of the samples; the first moments after an attach are always without. */
#define NATIVE_CUT_TOLD 0.01

/* An escaped copy of a target's string, cut to so many columns. */
static void add_harmless(struct ma_text *text, const char *string, unsigned columns)
{
	struct ma_text escaped = {0};
	ma_display_escape(&escaped, string);
	ma_display_add_start(text, ma_text_string(&escaped), columns);
	ma_text_fini(&escaped);
}

static uint64_t snapshot_ns(const struct ma_summary *summary)
{
	const Memattach__Heap *heap = summary->profile->heap;
	return heap->snapshot_time_nanos ? heap->snapshot_time_nanos
					 : (uint64_t)summary->profile->time_nanos;
}

static const Memattach__End *end_of(const struct ma_summary *summary)
{
	const Memattach__Process *process = summary->profile->heap->process;
	return process ? process->end : NULL;
}

static const char *clock_of(struct ma_figure *figure, uint64_t time_ns,
			    const struct ma_summary *summary)
{
	*figure = ma_format_clock(time_ns, snapshot_ns(summary));
	return figure->text;
}

/* Who it is: PID, command, Python, uid, age. */
static void write_process(struct ma_flow *flow, const struct ma_summary *summary)
{
	const Memattach__Process *process = summary->profile->heap->process;
	char label[24], rest[160], up[48] = "";
	struct ma_text command = {0};
	uint64_t now_ns = snapshot_ns(summary);
	if (process->start_time_nanos && process->start_time_nanos < now_ns)
		snprintf(up, sizeof up, GAP "up %s",
			 ma_format_duration_us((double)(now_ns - process->start_time_nanos) / 1e3)
				 .text);
	snprintf(label, sizeof label, "%d  ", process->pid);
	snprintf(rest, sizeof rest, "Python %.20s" GAP "uid %u%s", process->python_version,
		 process->uid, up);
	unsigned taken = (unsigned)(strlen(label) + strlen(rest) + strlen(GAP));
	/* A long command line is cut to what is left, but not to nothing. */
	unsigned room = summary->width > taken + 24 ? summary->width - taken
						    : summary->width - (unsigned)strlen(label);
	add_harmless(
		&command,
		ma_display_command(process->command[0] ? process->command : process->executable),
		room);
	ma_flow_begin(flow, label, (unsigned)strlen(label), GAP);
	ma_flow_item(flow, MA_STYLE_HEAD, "%s", ma_text_string(&command));
	ma_flow_item(flow, MA_STYLE_PLAIN, "%s", rest);
	ma_flow_end(flow);
	ma_text_fini(&command);
}

static void write_end(struct ma_flow *flow, const struct ma_summary *summary)
{
	const Memattach__End *end = end_of(summary);
	struct ma_text sentence = {0};
	struct ma_figure clock;
	if (!end)
		return;
	add_harmless(&sentence, end->sentence[0] ? end->sentence : "how is not known", 200);
	if (end->oom_killed && !strstr(end->sentence, "OOM") && !strstr(end->sentence, "memory"))
		ma_text_add(&sentence, ", out of memory (OOM kill)");
	ma_flow_begin(flow, "ENDED", LABEL, GAP);
	ma_flow_item(flow, MA_STYLE_BAD, "%s: %s", clock_of(&clock, end->time_nanos, summary),
		     ma_text_string(&sentence));
	ma_flow_item(flow, MA_STYLE_PLAIN, "this is the last state");
	ma_flow_end(flow);
	ma_text_fini(&sentence);
}

/* How it is watched: since when, how finely, at what cost. */
static void write_watch(struct ma_flow *flow, const struct ma_summary *summary)
{
	const Memattach__Heap *heap = summary->profile->heap;
	const Memattach__Session *session = summary->session;
	const Memattach__Sampler *sampler = heap->sampler;
	const Memattach__End *end = end_of(summary);
	struct ma_figure clock;
	char in[48] = "", how[64] = ", every allocation";
	struct ma_text classes = {0};
	uint64_t until_ns = end && end->time_nanos ? end->time_nanos : snapshot_ns(summary);
	double watched_us = until_ns > heap->attach_time_nanos
				    ? (double)(until_ns - heap->attach_time_nanos) / 1e3
				    : 0;
	if (session && session->hook_running_us)
		snprintf(in, sizeof in, " in %s",
			 ma_format_duration_us(session->hook_running_us).text);
	if (sampler && sampler->n_rate)
		ma_size_classes_write(&classes, sampler->rate, sampler->n_rate);
	if (sampler && sampler->n_rate)
		snprintf(how, sizeof how, " by size");
	else if (sampler && sampler->mode == MEMATTACH__SAMPLER__MODE__SAMPLED)
		snprintf(how, sizeof how, " at %s",
			 ma_format_setting((double)sampler->interval_bytes).text);
	ma_flow_begin(flow, "", 0, GAP);
	ma_flow_item(flow, MA_STYLE_PLAIN, "attached %s%s, watched %s%s",
		     clock_of(&clock, heap->attach_time_nanos, summary), in,
		     ma_format_duration_us(watched_us).text, how);
	if (classes.length)
		ma_flow_item(flow, MA_STYLE_PLAIN, "%s", ma_text_string(&classes));
	ma_text_fini(&classes);
	if (heap->cost_ratio >= 0 && session && session->budget_ratio > 0)
		ma_flow_item(flow,
			     heap->cost_ratio > 1.5 * session->budget_ratio ? MA_STYLE_WARN
									    : MA_STYLE_PLAIN,
			     "cost %s (budget %s)", ma_format_share(heap->cost_ratio).text,
			     ma_format_share(session->budget_ratio).text);
	else if (heap->cost_ratio >= 0)
		ma_flow_item(flow, MA_STYLE_PLAIN, "cost %s",
			     ma_format_share(heap->cost_ratio).text);
	ma_flow_end(flow);
}

static void write_rss(struct ma_flow *flow, const Memattach__Memory *memory)
{
	unsigned unit = ma_format_size_unit((double)memory->rss_bytes);
	ma_flow_begin(flow, "RSS", LABEL, GAP);
	ma_flow_item(flow, MA_STYLE_HEAD, "%s", ma_format_size((double)memory->rss_bytes).text);
	if (memory->rss_peak_bytes)
		ma_flow_item(flow, MA_STYLE_PLAIN, "peak %s",
			     ma_format_size((double)memory->rss_peak_bytes).text);
	if (memory->swap_bytes)
		ma_flow_item(flow, MA_STYLE_WARN, "swap %s",
			     ma_format_size((double)memory->swap_bytes).text);
	else
		ma_flow_item(flow, MA_STYLE_PLAIN, "swap 0");
	ma_flow_item(flow, MA_STYLE_PLAIN, "(anonymous %s, files %s, shared %s)",
		     ma_format_size_in((double)memory->rss_anonymous_bytes, unit).text,
		     ma_format_size_in((double)memory->rss_file_bytes, unit).text,
		     ma_format_size_in((double)memory->rss_shared_bytes, unit).text);
	if (memory->pss_bytes)
		ma_flow_item(flow, MA_STYLE_PLAIN, "pss %s",
			     ma_format_size((double)memory->pss_bytes).text);
	if (memory->uss_bytes)
		ma_flow_item(flow, MA_STYLE_PLAIN, "uss %s",
			     ma_format_size((double)memory->uss_bytes).text);
	ma_flow_item(flow, MA_STYLE_PLAIN, "faults %s minor, %s major",
		     ma_format_count((double)memory->minor_faults).text,
		     ma_format_count((double)memory->major_faults).text);
	ma_flow_end(flow);
}

static void write_growth(struct ma_flow *flow, const Memattach__Memory *memory)
{
	const double steady = 1024, most_seconds = 30 * 86400.0;
	double growth = memory->growth_bytes_per_second;
	char until[64] = "";
	if (!isfinite(growth) || growth == 0)
		return;
	if (fabs(growth) < steady) {
		ma_flow_item(flow, MA_STYLE_PLAIN, "steady");
		return;
	}
	if (growth > 0 && memory->cgroup_limit_bytes > memory->cgroup_bytes) {
		double seconds =
			(double)(memory->cgroup_limit_bytes - memory->cgroup_bytes) / growth;
		if (seconds < most_seconds)
			snprintf(until, sizeof until, ", about %s to the limit",
				 ma_format_duration_us(seconds * 1e6).text);
	}
	ma_flow_item(flow, MA_STYLE_PLAIN, "%s%s", ma_format_rate(growth).text, until);
}

static void write_limit(struct ma_flow *flow, const Memattach__Memory *memory)
{
	ma_flow_begin(flow, "LIMIT", LABEL, GAP);
	if (memory->cgroup_limit_bytes) {
		double ratio = (double)memory->cgroup_bytes / (double)memory->cgroup_limit_bytes;
		unsigned unit = ma_format_size_unit((double)memory->cgroup_limit_bytes);
		enum ma_style style = ratio >= 0.9    ? MA_STYLE_BAD
				      : ratio >= 0.75 ? MA_STYLE_WARN
						      : MA_STYLE_PLAIN;
		struct ma_text bar = {0};
		ma_progress_bar(&bar, ratio, LIMIT_CELLS);
		ma_flow_item(flow, MA_STYLE_PLAIN, "%s of %s (cgroup)",
			     ma_format_size_in((double)memory->cgroup_bytes, unit).text,
			     ma_format_size((double)memory->cgroup_limit_bytes).text);
		ma_flow_item(flow, style, "%s %s", ma_text_string(&bar),
			     ma_format_share(ratio).text);
		ma_text_fini(&bar);
	} else {
		ma_flow_item(flow, MA_STYLE_PLAIN, "none");
		if (memory->cgroup_bytes)
			ma_flow_item(flow, MA_STYLE_PLAIN, "the cgroup uses %s",
				     ma_format_size((double)memory->cgroup_bytes).text);
	}
	write_growth(flow, memory);
	ma_flow_end(flow);
}

static void write_since(struct ma_flow *flow, const struct ma_summary *summary)
{
	const Memattach__Heap *heap = summary->profile->heap;
	const Memattach__Totals *totals = heap->totals;
	const struct ma_heap_figures figures = ma_heap_totals(totals);
	const struct ma_interval peak = ma_heap_peak_interval(totals);
	struct ma_figure clock;
	ma_flow_begin(flow, "SINCE", LABEL, GAP);
	ma_flow_item(
		flow, MA_STYLE_HEAD, "live %s",
		ma_format_size_interval(totals->live_bytes, ma_interval_plus_minus(&figures.live))
			.text);
	ma_flow_item(flow, MA_STYLE_PLAIN, "held %s (older than %s)",
		     ma_format_size(totals->held_bytes).text,
		     ma_format_duration_us((double)heap->held_age_nanos / 1e3).text);
	if (heap->peak_time_nanos)
		ma_flow_item(flow, MA_STYLE_PLAIN, "peak %s at %s",
			     ma_format_size_interval(totals->peak_bytes, (peak.high - peak.low) / 2)
				     .text,
			     clock_of(&clock, heap->peak_time_nanos, summary));
	ma_flow_item(flow, MA_STYLE_PLAIN, "allocated %s in all, %s/s now",
		     ma_format_size(totals->allocated_bytes).text,
		     ma_format_size(totals->allocated_bytes_per_second).text);
	ma_flow_end(flow);
}

static void write_memory(struct ma_flow *flow, const struct ma_summary *summary)
{
	const Memattach__Heap *heap = summary->profile->heap;
	const Memattach__Memory *memory = heap->memory;
	if (memory) {
		write_rss(flow, memory);
		write_limit(flow, memory);
		if (memory->rss_at_attach_bytes) {
			ma_flow_begin(flow, "BEFORE", LABEL, " ");
			ma_flow_item(flow, MA_STYLE_PLAIN, "%s",
				     ma_format_size((double)memory->rss_at_attach_bytes).text);
			ma_flow_words(flow, MA_STYLE_PLAIN,
				      "was there before we came: no allocation sites for it");
			ma_flow_end(flow);
		}
	}
	if (heap->totals)
		write_since(flow, summary);
}

/* By size class it is not bytes that are missed but allocations. */
static void write_unseen_classes(struct ma_flow *flow, const Memattach__Sampler *sampler)
{
	struct ma_text text = {0};
	ma_text_add(&text, "sites with fewer than ");
	const char *between = "";
	for (size_t i = 0; i < sampler->n_rate; i++) {
		const Memattach__SizeRate *class = sampler->rate[i];
		if (class->chance >= 1)
			continue;
		ma_text_addf(&text, "%s%s%s below %s", between,
			     ma_format_count(MA_HEAP_RESOLUTION_INTERVALS / class->chance).text,
			     between[0] ? "" : " allocations",
			     ma_format_setting((double)class->below_bytes).text);
		between = " or ";
	}
	ma_text_add(&text, " may be missing;");
	ma_flow_words(flow, MA_STYLE_PLAIN, ma_text_string(&text));
	ma_text_fini(&text);
}

static void write_resolution(struct ma_flow *flow, const Memattach__Heap *heap)
{
	const Memattach__Sampler *sampler = heap->sampler;
	double resolution = ma_heap_resolution(heap);
	if (!(resolution > 0))
		return;
	if (sampler->n_rate) {
		write_unseen_classes(flow, sampler);
		return;
	}
	if (sampler->window_exponent_max) {
		ma_flow_item(flow, MA_STYLE_PLAIN, "sites under %s may be missing",
			     ma_format_size(resolution).text);
		return;
	}
	ma_flow_item(flow, MA_STYLE_PLAIN, "sites under %s (%d intervals) may be missing",
		     ma_format_setting(resolution).text, MA_HEAP_RESOLUTION_INTERVALS);
	if (sampler->interval_max_bytes > sampler->interval_bytes)
		ma_flow_item(flow, MA_STYLE_PLAIN, "under %s while the interval was longest",
			     ma_format_setting(MA_HEAP_RESOLUTION_INTERVALS *
					       (double)sampler->interval_max_bytes)
				     .text);
}

/* What was lost, each kind by its name; kinds that did not happen are not mentioned. */
static void write_losses(struct ma_flow *flow, const Memattach__Loss *loss, double samples)
{
	const struct {
		uint64_t count;
		const char *what;
	} kinds[] = {
		{loss->dropped_allocs, "allocations dropped"},
		{loss->dropped_frees, "frees re-read from the live set"},
		{loss->dropped_maps, "mmap events dropped"},
		{loss->gaps, "events that never came"},
		{loss->malformed, "malformed records"},
		{loss->implicit_frees, "frees not seen, found by reuse"},
		{loss->reentered, "allocations inside the hook"},
		{loss->frames_unknown, "frames unknown"},
		{loss->tables_full, "samples without a site (tables full)"},
		{loss->tables_busy, "samples without a stack (tables busy)"},
		{loss->sites_merged, "sites merged into (other)"},
	};
	uint64_t drops = loss->dropped_allocs + loss->dropped_maps + loss->gaps;
	if (!drops)
		ma_flow_item(flow, MA_STYLE_PLAIN, "drops 0");
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (kinds[i].count)
			ma_flow_item(flow, MA_STYLE_WARN, "%s %s",
				     ma_format_count((double)kinds[i].count).text, kinds[i].what);
	double cut = samples > 0 ? (double)loss->stacks_truncated / samples : 0;
	double broken = samples > 0 ? (double)loss->stacks_broken / samples : 0;
	double native = samples > 0 ? (double)loss->native_cut / samples : 0;
	ma_flow_item(flow, cut > 0.01 ? MA_STYLE_WARN : MA_STYLE_PLAIN, "cut stacks %s",
		     ma_format_share(cut).text);
	if (loss->stacks_broken)
		ma_flow_item(flow, MA_STYLE_WARN, "broken stacks %s", ma_format_share(broken).text);
	if (native > NATIVE_CUT_TOLD)
		ma_flow_item(flow, MA_STYLE_WARN, "native stacks cut %s",
			     ma_format_share(native).text);
}

static void write_windows(struct ma_flow *flow, const Memattach__Sampler *sampler)
{
	if (!sampler || !sampler->window_exponent_max)
		return;
	ma_flow_begin(flow, "WINDOWS", WIDE_LABEL, " ");
	ma_flow_item(flow, MA_STYLE_PLAIN, "small Python objects were looked at for %s",
		     ma_windows_part(sampler->window_exponent_max).text);
	ma_flow_words(flow, MA_STYLE_PLAIN,
		      "of the time at least, in random windows; the intervals reckon with that");
	ma_flow_end(flow);
}

static void write_not_seen(struct ma_flow *flow, const struct ma_summary *summary)
{
	const Memattach__Heap *heap = summary->profile->heap;
	write_windows(flow, heap->sampler);
	ma_flow_begin(flow, "NOT SEEN", WIDE_LABEL, "; ");
	write_resolution(flow, heap);
	if (heap->loss)
		write_losses(flow, heap->loss, heap->sampler ? (double)heap->sampler->samples : 0);
	ma_flow_end(flow);
	size_t skipped = heap->n_note > NOTES_SHOWN ? heap->n_note - NOTES_SHOWN : 0;
	for (size_t i = skipped; i < heap->n_note; i++) {
		struct ma_text note = {0};
		struct ma_figure clock;
		ma_display_escape(&note, heap->note[i]->text);
		ma_flow_begin(flow, i == skipped ? "NOTE" : "", WIDE_LABEL, " ");
		ma_flow_item(flow, MA_STYLE_PLAIN, "%s",
			     clock_of(&clock, heap->note[i]->time_nanos, summary));
		ma_flow_words(flow, MA_STYLE_PLAIN, ma_text_string(&note));
		ma_flow_end(flow);
		ma_text_fini(&note);
	}
}

static void write_next(struct ma_flow *flow, const struct ma_summary *summary)
{
	const Memattach__Session *session = summary->session;
	int pid = summary->profile->heap->process->pid;
	bool lost = session && session->state == MEMATTACH__SESSION__STATE__LOST;
	if (end_of(summary)) {
		struct ma_figure clock;
		if (session && session->expires_time_nanos) {
			ma_flow_begin(flow, "", 0, GAP);
			ma_flow_item(flow, MA_STYLE_PLAIN, "The last state is kept until %s",
				     clock_of(&clock, session->expires_time_nanos, summary));
			ma_flow_end(flow);
		}
	} else {
		ma_flow_begin(flow, "", 0, GAP);
		if (lost)
			ma_flow_item(flow, MA_STYLE_BAD,
				     "The hook no longer tells us anything: memattach detach %d, "
				     "then attach anew",
				     pid);
		else if (summary->leaving)
			ma_flow_item(flow, MA_STYLE_PLAIN, "Tracking ends with this command");
		else
			ma_flow_item(flow, MA_STYLE_PLAIN,
				     "Tracking continues until:  memattach detach %d", pid);
		if (!lost && !summary->leaving)
			ma_flow_item(flow, MA_STYLE_PLAIN, "%s",
				     session && session->keep ? "(for as long as it runs)"
							      : "(or 24 h unasked)");
		ma_flow_end(flow);
	}
	if (summary->leaving && !end_of(summary))
		return;
	ma_flow_begin(flow, "Next:  ", 7, "    ");
	if (!end_of(summary) && !lost)
		ma_flow_item(flow, MA_STYLE_PLAIN, "memattach --live %d", pid);
	ma_flow_item(flow, MA_STYLE_PLAIN, "memattach dump %d > snapshot.bin", pid);
	ma_flow_item(flow, MA_STYLE_PLAIN, "go tool pprof -top snapshot.bin");
	ma_flow_end(flow);
}

void ma_summary_view_write(struct ma_text *text, const struct ma_summary *summary)
{
	struct ma_flow flow = ma_flow_init(text, summary->width, summary->color);
	if (summary->profile->heap->process)
		write_process(&flow, summary);
	write_watch(&flow, summary);
	write_end(&flow, summary);
	ma_text_add(text, "\n");
	write_memory(&flow, summary);
	ma_text_add(text, "\n");
	ma_summary_table_write(text, summary);
	ma_text_add(text, "\n");
	write_not_seen(&flow, summary);
	if (summary->profile->heap->process)
		write_next(&flow, summary);
}
