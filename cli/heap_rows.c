/* SPDX-License-Identifier: MIT */
/*
 * Sites added up by line. A leak is one line that is reached through many stacks and threads, so
 * ranking sites as they are would scatter it. Within a row the caller that most of the bytes came
 * through is named.
 */
#include "cli/heap_rows.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc.h"
#include "cli/display.h"
#include "proto/area.h"

static const uint64_t least_age_ns = 1000000000;

/* A frame of a stack: function and line; inlined functions are frames of their own. */
struct frame {
	uint64_t function; /* id, 0 = none */
	int64_t line;
	uint64_t mapping; /* id of a native one's, 0 = none */
};

/* A sample, with what it is sorted by. */
struct entry {
	struct frame place;
	struct frame caller;
	size_t sample;
};

/* Python functions have no name of the linker's. */
static bool is_native(const Memattach__Profile *profile, uint64_t function)
{
	return function && function <= profile->n_function &&
	       profile->function[function - 1]->system_name != 0;
}

/* One after the other, innermost first: zero-initialise but for profile and sample. */
struct walk {
	const Memattach__Profile *profile;
	const Memattach__Sample *sample;
	size_t location, line;
};

/* The next frame outwards, {0} when there is none. */
static struct frame next_frame(struct walk *walk)
{
	while (walk->location < walk->sample->n_location_id) {
		uint64_t id = walk->sample->location_id[walk->location];
		if (id && id <= walk->profile->n_location) {
			const Memattach__Location *location = walk->profile->location[id - 1];
			if (walk->line < location->n_line) {
				const Memattach__Line *line = location->line[walk->line++];
				return (struct frame){line->function_id, line->line,
						      location->mapping_id};
			}
		}
		walk->location++;
		walk->line = 0;
	}
	return (struct frame){0};
}

static bool has_python(const Memattach__Profile *profile, const Memattach__Sample *sample)
{
	struct walk walk = {.profile = profile, .sample = sample};
	for (struct frame frame; (frame = next_frame(&walk)).function;)
		if (!is_native(profile, frame.function))
			return true;
	return false;
}

/* The frame that is `depth` frames out, of Python's alone where there are any; {0} when the stack
 * is shorter. */
static struct frame frame_at(const Memattach__Profile *profile, const Memattach__Sample *sample,
			     size_t depth)
{
	struct walk walk = {.profile = profile, .sample = sample};
	bool python = has_python(profile, sample);
	for (struct frame frame; (frame = next_frame(&walk)).function;) {
		if (python && is_native(profile, frame.function))
			continue;
		if (depth-- == 0)
			return frame;
	}
	return (struct frame){0};
}

static struct ma_place place_of(const Memattach__Profile *profile, struct frame frame)
{
	const char *module = "";
	if (!frame.function || frame.function > profile->n_function)
		return (struct ma_place){"", "", 0, ""};
	const Memattach__Function *function = profile->function[frame.function - 1];
	if (is_native(profile, frame.function))
		module = "?";
	if (module[0] && frame.mapping && frame.mapping <= profile->n_mapping)
		module = ma_snapshot_string(profile, profile->mapping[frame.mapping - 1]->filename);
	return (struct ma_place){ma_snapshot_string(profile, function->name),
				 ma_snapshot_string(profile, function->filename), frame.line,
				 module};
}

/* Is a native function known by more than where it is ("libfoo.so+0x1234")? */
static bool has_name(const Memattach__Profile *profile, uint64_t function)
{
	return !strstr(ma_snapshot_string(profile, profile->function[function - 1]->name), "+0x");
}

/* The native frames inside the innermost Python one: the first (of those with a name, if any) and
 * the last of them. false: there are none. */
static bool native_ends(const Memattach__Profile *profile, const Memattach__Sample *sample,
			struct frame *leaf, struct frame *entry)
{
	struct walk walk = {.profile = profile, .sample = sample};
	struct frame frame;
	*leaf = *entry = (struct frame){0};
	while ((frame = next_frame(&walk)).function && is_native(profile, frame.function)) {
		if (!leaf->function ||
		    (has_name(profile, frame.function) && !has_name(profile, leaf->function)))
			*leaf = frame;
		*entry = frame;
	}
	/* All of a stack without Python is in the rows' places already. */
	return leaf->function && frame.function;
}

/* What stands in for the place of a site without any frame. */
static struct ma_place nowhere(uint32_t flags)
{
	const char *name = flags & MA_STACK_NO_PYTHON    ? "(no Python code)"
			   : flags & MA_STACK_FINALIZING ? "(interpreter shutting down)"
			   : flags & MA_STACK_FOREIGN    ? "(sub-interpreter)"
							 : "(stack not known)";
	return (struct ma_place){name, "", 0, ""};
}

static int compare_frames(struct frame a, struct frame b)
{
	if (a.function != b.function)
		return a.function < b.function ? -1 : 1;
	return (a.line > b.line) - (a.line < b.line);
}

static int by_place(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int order = compare_frames(x->place, y->place);
	if (!order)
		order = compare_frames(x->caller, y->caller);
	return order ? order : (x->sample > y->sample) - (x->sample < y->sample);
}

static int by_live(const void *a, const void *b)
{
	const struct ma_heap_figures *x = &((const struct ma_heap_row *)a)->figures;
	const struct ma_heap_figures *y = &((const struct ma_heap_row *)b)->figures;
	if (x->live.value != y->live.value)
		return x->live.value < y->live.value ? 1 : -1;
	if (x->peak.value != y->peak.value)
		return x->peak.value < y->peak.value ? 1 : -1;
	return (x->allocated.value < y->allocated.value) -
	       (x->allocated.value > y->allocated.value);
}

static int by_rank(const void *a, const void *b)
{
	const struct ma_heap_row *x = a, *y = b;
	if (x->rank_bytes != y->rank_bytes)
		return x->rank_bytes < y->rank_bytes ? 1 : -1;
	return by_live(a, b);
}

static void sort_rows(struct ma_heap_rows *rows, size_t first, size_t last,
		      int (*order)(const void *, const void *))
{
	if (first < last)
		qsort(rows->rows + first, last - first, sizeof *rows->rows, order);
}

/* Puts the rows to show in front. */
static void choose(struct ma_heap_rows *rows, size_t top)
{
	size_t shown = top < rows->count ? top : rows->count, held = (shown + 1) / 2;
	sort_rows(rows, 0, rows->count, by_rank);
	sort_rows(rows, held, rows->count, by_live);
	sort_rows(rows, held, shown, by_rank);
}

/* The estimates of a message that has values with these names, and their cumulants. */
#define BYTES_OF(message, name)                                                                    \
	{                                                                                          \
		.variance = (message)->name##_bytes_variance,                                      \
		.third = (double)(message)->name##_bytes_third, .unseen = (message)->unseen_bytes, \
		.shared = (double)(message)->name##_bytes_shared,                                  \
	}
#define COUNT_OF(message, name)                                                                    \
	{                                                                                          \
		.variance = (message)->name##_count_variance,                                      \
		.third = (double)(message)->name##_count_third,                                    \
		.shared = (double)(message)->name##_count_shared,                                  \
	}
#define FIGURES_OF(message)                                                                        \
	{                                                                                          \
		.held = BYTES_OF(message, held), .live = BYTES_OF(message, live),                  \
		.peak = BYTES_OF(message, peak), .allocated = BYTES_OF(message, allocated),        \
		.held_count = COUNT_OF(message, held), .live_count = COUNT_OF(message, live),      \
		.peak_count = COUNT_OF(message, peak),                                             \
		.allocated_count = COUNT_OF(message, allocated),                                   \
	}

static struct ma_heap_figures figures_of(const Memattach__Profile *profile, size_t index)
{
	const Memattach__Sample *sample = profile->sample[index];
	const Memattach__Heap *heap = profile->heap;
	struct ma_heap_figures figures = {0};
	if (heap && index < heap->n_site) {
		const Memattach__SiteDetail *site = heap->site[index];
		figures = (struct ma_heap_figures)FIGURES_OF(site);
		figures.held.value = site->held_bytes;
		figures.held_count.value = site->held_count;
		figures.live_samples = site->live_samples;
	}
	figures.live.value = (double)sample->value[MA_VALUE_INUSE_SPACE];
	figures.live_count.value = (double)sample->value[MA_VALUE_INUSE_OBJECTS];
	figures.peak.value = (double)sample->value[MA_VALUE_PEAK_SPACE];
	figures.peak_count.value = (double)sample->value[MA_VALUE_PEAK_OBJECTS];
	figures.allocated.value = (double)sample->value[MA_VALUE_ALLOC_SPACE];
	figures.allocated_count.value = (double)sample->value[MA_VALUE_ALLOC_OBJECTS];
	figures.sites = 1;
	return figures;
}

struct ma_heap_figures ma_heap_totals(const Memattach__Totals *totals)
{
	struct ma_heap_figures figures = FIGURES_OF(totals);
	figures.held.value = totals->held_bytes;
	figures.held_count.value = totals->held_count;
	figures.live.value = totals->live_bytes;
	figures.live_count.value = totals->live_count;
	figures.peak.value = totals->peak_bytes;
	figures.peak_count.value = totals->peak_count;
	figures.allocated.value = totals->allocated_bytes;
	figures.allocated_count.value = totals->allocated_count;
	return figures;
}

struct ma_interval ma_heap_peak_interval(const Memattach__Totals *totals)
{
	struct ma_heap_figures figures = ma_heap_totals(totals);
	return ma_interval_95_of_peak(&figures.peak, totals->peak_excess_bytes);
}

void ma_heap_figures_add(struct ma_heap_figures *a, const struct ma_heap_figures *b)
{
	ma_estimate_add(&a->held, &b->held);
	ma_estimate_add(&a->live, &b->live);
	ma_estimate_add(&a->peak, &b->peak);
	ma_estimate_add(&a->allocated, &b->allocated);
	ma_estimate_add(&a->held_count, &b->held_count);
	ma_estimate_add(&a->live_count, &b->live_count);
	ma_estimate_add(&a->peak_count, &b->peak_count);
	ma_estimate_add(&a->allocated_count, &b->allocated_count);
	a->live_samples += b->live_samples;
	a->sites += b->sites;
}

/* The nearest frame outwards that is the program's own, beyond the caller. */
static struct ma_place own_place(const Memattach__Profile *profile, size_t sample_index)
{
	const Memattach__Sample *sample = profile->sample[sample_index];
	for (size_t depth = 2;; depth++) {
		struct ma_place place = place_of(profile, frame_at(profile, sample, depth));
		if (!place.function[0] || ma_display_own_code(place.file))
			return place;
	}
}

/* Names the native code below a line by its heaviest sample, and adds up what came the same way. */
static void name_native(struct ma_heap_row *row, const Memattach__Profile *profile,
			const struct entry *entries, size_t count)
{
	struct frame leaf, entry, other, heaviest = {0};
	double most = -1, through = 0;
	for (size_t i = 0; i < count; i++) {
		const Memattach__Sample *sample = profile->sample[entries[i].sample];
		double live = (double)sample->value[MA_VALUE_INUSE_SPACE];
		if (live <= most || !native_ends(profile, sample, &leaf, &entry))
			continue;
		most = live;
		heaviest = entry;
		row->native.entry = place_of(profile, entry);
		row->native.leaf = place_of(profile, leaf);
	}
	if (!heaviest.function) {
		row->native.entry = row->native.leaf = (struct ma_place){"", "", 0, ""};
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const Memattach__Sample *sample = profile->sample[entries[i].sample];
		if (native_ends(profile, sample, &other, &entry) &&
		    entry.function == heaviest.function)
			through += (double)sample->value[MA_VALUE_INUSE_SPACE];
	}
	row->native.share = row->figures.live.value > 0 ? through / row->figures.live.value : 1;
}

/* Fills a row from the entries of one place, which are sorted by caller. */
static void make_row(struct ma_heap_row *row, const Memattach__Profile *profile,
		     const struct entry *entries, size_t count)
{
	*row = (struct ma_heap_row){.place = place_of(profile, entries[0].place)};
	if (!row->place.function[0]) {
		const Memattach__Heap *heap = profile->heap;
		size_t sample = entries[0].sample;
		row->place = nowhere(heap && sample < heap->n_site ? heap->site[sample]->flags : 0);
	}
	double best = -1, best_sample = -1;
	size_t heaviest = entries[0].sample;
	for (size_t i = 0; i < count;) {
		struct frame caller = entries[i].caller;
		double through = 0;
		size_t largest = entries[i].sample;
		best_sample = -1;
		for (; i < count && compare_frames(entries[i].caller, caller) == 0; i++) {
			struct ma_heap_figures figures = figures_of(profile, entries[i].sample);
			ma_heap_figures_add(&row->figures, &figures);
			through += figures.live.value;
			if (figures.live.value > best_sample) {
				best_sample = figures.live.value;
				largest = entries[i].sample;
			}
		}
		row->callers++;
		if (through > best) {
			best = through;
			heaviest = largest;
			row->caller = place_of(profile, caller);
		}
	}
	name_native(row, profile, entries, count);
	row->caller_share = row->figures.live.value > 0 ? best / row->figures.live.value : 1;
	row->own = (struct ma_place){"", "", 0, ""};
	if (row->caller.function[0] && !ma_display_own_code(row->place.file) &&
	    !ma_display_own_code(row->caller.file))
		row->own = own_place(profile, heaviest);
}

double ma_heap_resolution(const Memattach__Heap *heap)
{
	const Memattach__Sampler *sampler = heap->sampler;
	if (!sampler || sampler->mode != MEMATTACH__SAMPLER__MODE__SAMPLED)
		return 0;
	double unseen = sampler->n_rate ? 0 : (double)sampler->interval_bytes;
	for (size_t i = 0; i < sampler->n_rate; i++) {
		const Memattach__SizeRate *class = sampler->rate[i];
		if (class->chance < 1)
			unseen = fmax(unseen, (double)(class->below_bytes - 1) / class->chance);
	}
	if (sampler->window_exponent_max)
		unseen = fmax(unseen, sampler->unseen_bytes);
	return MA_HEAP_RESOLUTION_INTERVALS * unseen;
}

/* Did the process end? Then what it held last is what matters, however young it was. */
static bool has_ended(const Memattach__Heap *heap)
{
	const Memattach__End *end = heap->process ? heap->process->end : NULL;
	return end && (end->how == MEMATTACH__END__HOW__EXITED ||
		       end->how == MEMATTACH__END__HOW__SIGNALED);
}

void ma_heap_rows_make(struct ma_heap_rows *rows, const Memattach__Profile *profile, size_t top)
{
	size_t count = profile->n_sample;
	struct entry *entries = ma_alloc(count, sizeof *entries);
	*rows = (struct ma_heap_rows){.rows = ma_alloc(count, sizeof *rows->rows)};
	for (size_t i = 0; i < count; i++) {
		const Memattach__Sample *sample = profile->sample[i];
		entries[i] = (struct entry){frame_at(profile, sample, 0),
					    frame_at(profile, sample, 1), i};
		/* Sites without a stack are told apart by why they have none. */
		if (!entries[i].place.function && profile->heap && i < profile->heap->n_site)
			entries[i].place.line = profile->heap->site[i]->flags;
	}
	qsort(entries, count, sizeof *entries, by_place);
	bool settled = !profile->heap ||
		       (!has_ended(profile->heap) && profile->heap->held_age_nanos >= least_age_ns);
	double least_held = profile->heap ? ma_heap_resolution(profile->heap) : 0;
	for (size_t start = 0, end; start < count; start = end) {
		for (end = start + 1; end < count; end++)
			if (compare_frames(entries[start].place, entries[end].place) != 0)
				break;
		struct ma_heap_row *row = &rows->rows[rows->count++];
		make_row(row, profile, entries + start, end - start);
		if (settled && row->figures.held.value >= least_held)
			row->rank_bytes = row->figures.held.value;
	}
	choose(rows, top);
	free(entries);
}

void ma_heap_rows_fini(struct ma_heap_rows *rows)
{
	free(rows->rows);
	*rows = (struct ma_heap_rows){0};
}
