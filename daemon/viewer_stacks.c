/* SPDX-License-Identifier: MIT */
/* The stacks that lead to one line, largest first; see viewer_answer.h. */
#include <stdlib.h>

#include "daemon/viewer_answer.h"
#include "proto/area_check.h"

static const char *const domain_names[MA_HEAP_DOMAINS] = {
	[0] = "unknown",           [MA_DOMAIN_OBJECT] = "object",
	[MA_DOMAIN_MEM] = "mem",   [MA_DOMAIN_MALLOC] = "malloc",
	[MA_DOMAIN_MMAP] = "mmap",
};

/* Frames of a slot's node, innermost first: the way up the call tree. */
static bool fill_frames(struct ma_viewer_answer *answer, Memattach__LiveRow *row, uint32_t node)
{
	const struct ma_viewer_index *index = answer->index;
	uint32_t count = 0;
	for (uint32_t at = node; at; at = index->nodes[at].parent)
		count++;
	Memattach__LiveFrame **frames = ma_pool_alloc(answer->pool, count + 1U, sizeof *frames);
	if (!frames)
		return false;
	row->frame = frames;
	for (uint32_t at = node; at; at = index->nodes[at].parent) {
		const struct ma_viewer_line *line = &index->lines[index->nodes[at].line];
		Memattach__LiveFrame *frame = ma_pool_alloc(answer->pool, 1, sizeof *frame);
		if (!frame)
			return false;
		*frame = (Memattach__LiveFrame)MEMATTACH__LIVE_FRAME__INIT;
		frame->function = ma_viewer_text(answer->pool, line->function);
		frame->file = ma_viewer_text(answer->pool, line->file);
		frame->line = line->line;
		frame->module = ma_viewer_text(answer->pool, line->module);
		frames[row->n_frame++] = frame;
	}
	return true;
}

static Memattach__LiveRow *make_row(struct ma_viewer_answer *answer, uint32_t slot)
{
	struct ma_viewer_sum sum = {0};
	const struct ma_viewer_slot *at = &answer->index->slots[slot];
	ma_viewer_sum_add(&sum, answer, slot);
	Memattach__LiveRow *row = ma_viewer_row(answer, &sum, &answer->index->lines[at->line]);
	if (!row || !fill_frames(answer, row, at->node))
		return NULL;
	row->key = slot + UINT64_C(1);
	row->line_key = at->line + UINT64_C(1);
	row->thread = at->thread + 1U;
	row->domain = ma_viewer_text(answer->pool, domain_names[at->domain]);
	return row;
}

static uint32_t find_slots(struct ma_viewer_answer *answer, struct ma_viewer_entry_rank *entries,
			   struct ma_viewer_sum *all)
{
	const struct ma_viewer_slot *slots = answer->index->slots;
	uint32_t slot_count = ma_viewer_slot_count(answer), count = 0;
	for (uint32_t slot = 0; slot < slot_count; slot++) {
		struct ma_viewer_sum sum = {0};
		if (slots[slot].line + UINT64_C(1) != answer->query->key ||
		    !ma_viewer_slot_wanted(answer, slot) || !ma_viewer_sum_add(&sum, answer, slot))
			continue;
		ma_viewer_sum_add(all, answer, slot);
		Memattach__LiveQuery__Column column = answer->query->sort;
		if (column >= MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION)
			column = MEMATTACH__LIVE_QUERY__COLUMN__LIVE;
		double value = ma_viewer_sum_column(&sum, column);
		entries[count++] = (struct ma_viewer_entry_rank){value, slot, slots[slot].line};
	}
	return count;
}

bool ma_viewer_fill_stacks(struct ma_viewer_answer *answer)
{
	struct ma_viewer_entry_rank *entries =
		malloc((ma_viewer_slot_count(answer) + 1U) * sizeof *entries);
	struct ma_viewer_sum all = {0};
	if (!entries)
		return false;
	uint32_t count = find_slots(answer, entries, &all);
	uint32_t offset = answer->query->offset < count ? answer->query->offset : count;
	uint32_t limit =
		answer->query->limit < MA_VIEWER_STACKS ? answer->query->limit : MA_VIEWER_STACKS;
	if (limit > count - offset)
		limit = count - offset;
	ma_viewer_order(answer, entries, count, offset, limit);
	Memattach__LiveView *view = answer->view;
	view->sum = ma_viewer_row(answer, &all, NULL);
	view->row = ma_pool_alloc(answer->pool, limit + 1U, sizeof *view->row);
	view->row_count = count;
	for (uint32_t i = 0; view->row && i < limit; i++) {
		view->row[i] = make_row(answer, entries[offset + i].item);
		if (!view->row[i])
			break;
		view->n_row++;
	}
	free(entries);
	return view->sum && view->row && view->n_row == limit;
}
