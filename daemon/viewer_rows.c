/* SPDX-License-Identifier: MIT */
/* Sites added up by line and by thread, and put in order; see viewer_answer.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/viewer_answer.h"

bool ma_viewer_sum_add(struct ma_viewer_sum *sum, const struct ma_viewer_answer *answer,
		       uint32_t slot)
{
	const struct ma_viewer_value *value = &answer->shown->values[slot];
	double before = 0;
	if (answer->reference && slot < answer->reference->count)
		before = answer->reference->values[slot].live_bytes;
	if (value->live_bytes == 0 && value->peak_bytes == 0 && value->rate == 0 && before == 0)
		return false;
	sum->live_bytes += value->live_bytes;
	sum->live_variance += value->live_variance;
	sum->live_third += value->live_third;
	sum->live_shared += value->live_shared;
	sum->delta_bytes += value->live_bytes - before;
	sum->held_bytes += value->held_bytes;
	sum->peak_bytes += value->peak_bytes;
	sum->rate += value->rate;
	sum->live_count += value->live_count;
	sum->sites++;
	return true;
}

double ma_viewer_sum_column(const struct ma_viewer_sum *sum, Memattach__LiveQuery__Column column)
{
	switch (column) {
	case MEMATTACH__LIVE_QUERY__COLUMN__LIVE:
		return sum->live_bytes;
	case MEMATTACH__LIVE_QUERY__COLUMN__DELTA:
		return sum->delta_bytes;
	case MEMATTACH__LIVE_QUERY__COLUMN__HELD:
		return sum->held_bytes;
	case MEMATTACH__LIVE_QUERY__COLUMN__PEAK:
		return sum->peak_bytes;
	case MEMATTACH__LIVE_QUERY__COLUMN__RATE:
		return sum->rate;
	case MEMATTACH__LIVE_QUERY__COLUMN__COUNT:
		return sum->live_count;
	default:
		return 0;
	}
}

bool ma_viewer_slot_wanted(const struct ma_viewer_answer *answer, uint32_t slot)
{
	uint32_t thread = answer->query->thread;
	return !thread || answer->index->slots[slot].thread == thread - 1;
}

bool ma_viewer_line_matches(const struct ma_viewer_answer *answer, uint32_t line)
{
	const struct ma_viewer_filter *filter = answer->filter;
	return !filter || (line < filter->count && filter->matches[line]);
}

uint32_t ma_viewer_slot_count(const struct ma_viewer_answer *answer)
{
	uint32_t indexed = answer->index->slot_count;
	return indexed < answer->shown->count ? indexed : answer->shown->count;
}

char *ma_viewer_text(struct ma_pool *pool, const char *text)
{
	char *copy = text[0] ? ma_pool_text(pool, text) : NULL;
	return copy ? copy : (char *)protobuf_c_empty_string;
}

Memattach__LiveRow *ma_viewer_row(struct ma_viewer_answer *answer, const struct ma_viewer_sum *sum,
				  const struct ma_viewer_line *line)
{
	Memattach__LiveRow *row = ma_pool_alloc(answer->pool, 1, sizeof *row);
	if (!row)
		return NULL;
	*row = (Memattach__LiveRow)MEMATTACH__LIVE_ROW__INIT;
	if (line) {
		row->function = ma_viewer_text(answer->pool, line->function);
		row->file = ma_viewer_text(answer->pool, line->file);
		row->line = line->line;
		row->module = ma_viewer_text(answer->pool, line->module);
	}
	row->live_bytes = sum->live_bytes;
	row->live_variance = sum->live_variance;
	row->live_third = sum->live_third;
	row->live_shared = (float)sum->live_shared;
	if (sum->live_variance > 0)
		row->unseen_bytes = ma_heap_state_unseen(&answer->session->heap);
	row->delta_bytes = sum->delta_bytes;
	row->held_bytes = sum->held_bytes;
	row->peak_bytes = sum->peak_bytes;
	row->rate = sum->rate;
	row->live_count = sum->live_count;
	row->sites = sum->sites;
	return row;
}

static int compare_texts(const struct ma_viewer_answer *answer,
			 const struct ma_viewer_entry_rank *a, const struct ma_viewer_entry_rank *b)
{
	const struct ma_viewer_line *x = &answer->index->lines[a->line];
	const struct ma_viewer_line *y = &answer->index->lines[b->line];
	int order;
	if (answer->query->sort == MEMATTACH__LIVE_QUERY__COLUMN__FILE) {
		order = strcmp(x->file, y->file);
		return order ? order : (x->line > y->line) - (x->line < y->line);
	}
	order = strcmp(x->function, y->function);
	return order ? order : strcmp(x->file, y->file);
}

bool ma_viewer_before(const struct ma_viewer_answer *answer, const struct ma_viewer_entry_rank *a,
		      const struct ma_viewer_entry_rank *b)
{
	bool ascending = answer->query->ascending;
	if (answer->query->sort >= MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION) {
		/* Texts begin at A unless turned round, figures with the largest. */
		int order = compare_texts(answer, a, b);
		if (order)
			return ascending ? order > 0 : order < 0;
	} else if (a->value != b->value) {
		return ascending ? a->value < b->value : a->value > b->value;
	}
	return a->item < b->item;
}

static void swap(struct ma_viewer_entry_rank *a, struct ma_viewer_entry_rank *b)
{
	struct ma_viewer_entry_rank kept = *a;
	*a = *b;
	*b = kept;
}

/* Splits the entries low .. high - 1: what stands before the middle one of three goes in front.
 * Returns where that one ends up. */
static uint32_t split(const struct ma_viewer_answer *answer, struct ma_viewer_entry_rank *entries,
		      uint32_t low, uint32_t high)
{
	uint32_t middle = low + (high - low) / 2, last = high - 1, at = low;
	if (ma_viewer_before(answer, &entries[middle], &entries[low]))
		swap(&entries[middle], &entries[low]);
	if (ma_viewer_before(answer, &entries[last], &entries[low]))
		swap(&entries[last], &entries[low]);
	if (ma_viewer_before(answer, &entries[middle], &entries[last]))
		swap(&entries[middle], &entries[last]);
	for (uint32_t i = low; i < last; i++)
		if (ma_viewer_before(answer, &entries[i], &entries[last]))
			swap(&entries[i], &entries[at++]);
	swap(&entries[at], &entries[last]);
	return at;
}

/* Quicksort that leaves out the parts that nobody sees. Entries differ (ma_viewer_before breaks
 * ties), so equal values do not make it slow. */
void ma_viewer_order(const struct ma_viewer_answer *answer, struct ma_viewer_entry_rank *entries,
		     uint32_t count, uint32_t offset, uint32_t limit)
{
	struct {
		uint32_t low, high;
	} open[64] = {{0, count}};
	unsigned depth = 1;
	uint32_t end = limit < count - offset ? offset + limit : count;
	if (offset >= count)
		return;
	while (depth) {
		uint32_t low = open[--depth].low, high = open[depth].high;
		while (high - low > 1 && low < end && high > offset) {
			uint32_t at = split(answer, entries, low, high);
			/* The larger part waits, so that few of them ever do. */
			bool left_waits = at - low > high - at - 1;
			open[depth].low = left_waits ? low : at + 1;
			open[depth++].high = left_waits ? at : high;
			if (left_waits)
				low = at + 1;
			else
				high = at;
		}
	}
}

/* Adds up all slots by line. */
static void add_lines(struct ma_viewer_answer *answer, struct ma_viewer_sum *sums,
		      struct ma_viewer_sum *all, uint32_t *largest)
{
	const struct ma_viewer_slot *slots = answer->index->slots;
	uint32_t count = ma_viewer_slot_count(answer);
	for (uint32_t slot = 0; slot < count; slot++) {
		if (!ma_viewer_slot_wanted(answer, slot) ||
		    !ma_viewer_line_matches(answer, slots[slot].line))
			continue;
		uint32_t line = slots[slot].line;
		if (!ma_viewer_sum_add(&sums[line], answer, slot))
			continue;
		ma_viewer_sum_add(all, answer, slot);
		/* Slot 0 is no site. */
		if (slots[slot].callee &&
		    (!largest[line] || answer->shown->values[slot].live_bytes >
					       answer->shown->values[largest[line]].live_bytes))
			largest[line] = slot;
	}
}

static uint32_t rank_lines(const struct ma_viewer_answer *answer, const struct ma_viewer_sum *sums,
			   struct ma_viewer_entry_rank *entries)
{
	uint32_t count = 0;
	for (uint32_t line = 0; line < answer->index->line_count; line++) {
		if (!sums[line].sites)
			continue;
		double value = ma_viewer_sum_column(&sums[line], answer->query->sort);
		entries[count++] = (struct ma_viewer_entry_rank){value, line, line};
	}
	return count;
}

/* How many stand before the one that is selected. */
static void rank_selected(struct ma_viewer_answer *answer,
			  const struct ma_viewer_entry_rank *entries, uint32_t count)
{
	const struct ma_viewer_entry_rank *selected = NULL;
	for (uint32_t i = 0; i < count && !selected; i++)
		if (entries[i].item + UINT64_C(1) == answer->query->selected)
			selected = &entries[i];
	if (!selected)
		return;
	uint32_t rank = 1;
	for (uint32_t i = 0; i < count; i++)
		rank += ma_viewer_before(answer, &entries[i], selected);
	answer->view->selected_rank = rank;
}

static bool fill_page(struct ma_viewer_answer *answer, const struct ma_viewer_sum *sums,
		      struct ma_viewer_entry_rank *entries, uint32_t count)
{
	uint32_t limit =
		answer->query->limit < MA_VIEWER_LIMIT ? answer->query->limit : MA_VIEWER_LIMIT;
	uint32_t offset = answer->query->offset < count ? answer->query->offset : count;
	if (limit > count - offset)
		limit = count - offset;
	Memattach__LiveRow **rows = ma_pool_alloc(answer->pool, limit + 1U, sizeof *rows);
	if (!rows)
		return false;
	ma_viewer_order(answer, entries, count, offset, limit);
	for (uint32_t i = 0; i < limit; i++) {
		uint32_t line = entries[offset + i].item;
		rows[i] = ma_viewer_row(answer, &sums[line], &answer->index->lines[line]);
		if (!rows[i])
			return false;
		rows[i]->key = line + UINT64_C(1);
		rows[i]->line_key = rows[i]->key;
	}
	answer->view->row = rows;
	answer->view->n_row = limit;
	answer->view->row_count = count;
	return true;
}

/* What the line of a row called, by its largest site. */
static void name_callee(struct ma_viewer_answer *answer, Memattach__LiveRow *row,
			const uint32_t *largest)
{
	const struct ma_viewer_index *index = answer->index;
	uint32_t slot = largest[row->line_key - 1];
	if (!slot)
		return;
	const struct ma_viewer_line *callee = &index->lines[index->slots[slot].callee];
	row->callee = ma_viewer_text(answer->pool, callee->function);
	row->callee_module = ma_viewer_text(answer->pool, callee->module);
}

bool ma_viewer_fill_lines(struct ma_viewer_answer *answer)
{
	uint32_t lines = answer->index->line_count;
	struct ma_viewer_sum all = {0};
	struct ma_viewer_sum *sums = calloc(lines, sizeof *sums);
	struct ma_viewer_entry_rank *entries = malloc(lines * sizeof *entries);
	uint32_t *largest = calloc(lines, sizeof *largest); /* slot of each line with a callee */
	bool filled = false;
	if (sums && entries && largest) {
		add_lines(answer, sums, &all, largest);
		uint32_t count = rank_lines(answer, sums, entries);
		rank_selected(answer, entries, count);
		answer->view->sum = ma_viewer_row(answer, &all, NULL);
		filled = answer->view->sum && fill_page(answer, sums, entries, count);
		for (size_t i = 0; filled && i < answer->view->n_row; i++)
			name_callee(answer, answer->view->row[i], largest);
	}
	free(largest);
	free(sums);
	free(entries);
	return filled;
}

bool ma_viewer_fill_threads(struct ma_viewer_answer *answer)
{
	struct ma_viewer_sum sums[MA_THREAD_SLOTS] = {{0}};
	uint32_t count = ma_viewer_slot_count(answer);
	const struct ma_threads *names = &answer->session->threads;
	for (uint32_t slot = 0; slot < count; slot++)
		ma_viewer_sum_add(&sums[answer->index->slots[slot].thread], answer, slot);
	Memattach__LiveThread **threads =
		ma_pool_alloc(answer->pool, MA_THREAD_SLOTS, sizeof *threads);
	if (!threads)
		return false;
	answer->view->thread = threads;
	for (uint32_t i = 0; i < MA_THREAD_SLOTS; i++) {
		if (!sums[i].sites && (i == 0 || !names->slots[i].tid))
			continue;
		Memattach__LiveThread *thread = ma_pool_alloc(answer->pool, 1, sizeof *thread);
		Memattach__LiveRow *values = ma_viewer_row(answer, &sums[i], NULL);
		if (!thread || !values)
			return false;
		*thread = (Memattach__LiveThread)MEMATTACH__LIVE_THREAD__INIT;
		thread->thread = i + 1;
		thread->tid = i ? names->slots[i].tid : 0;
		thread->name =
			ma_viewer_text(answer->pool, i ? names->slots[i].name : "(other threads)");
		thread->values = values;
		threads[answer->view->n_thread++] = thread;
	}
	return true;
}
