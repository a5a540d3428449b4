/* SPDX-License-Identifier: MIT */
/*
 * The stacks that lead to one line, largest first; see viewer_answer.h. Sites whose stacks look the
 * same are one: without native frames, those that differ in them alone.
 */
#include <stdlib.h>

#include "daemon/idmap.h"
#include "daemon/viewer_answer.h"
#include "proto/area_check.h"

/* Sites of one thread and one domain with one place in the call tree. */
struct stack_group {
	uint32_t slot; /* the first of them */
	struct ma_viewer_sum sum;
};

struct stack_groups {
	struct stack_group *groups; /* owned */
	uint32_t count, room;
	struct ma_idmap of_stack;
};

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

static Memattach__LiveRow *make_row(struct ma_viewer_answer *answer,
				    const struct stack_group *group)
{
	const struct ma_viewer_slot *at = &answer->index->slots[group->slot];
	Memattach__LiveRow *row =
		ma_viewer_row(answer, &group->sum, &answer->index->lines[at->line]);
	if (!row || !fill_frames(answer, row, at->node))
		return NULL;
	row->key = group->slot + UINT64_C(1);
	row->line_key = at->line + UINT64_C(1);
	row->thread = at->thread + 1U;
	row->domain = ma_viewer_text(answer->pool, domain_names[at->domain]);
	return row;
}

/* The group of a slot; NULL: no memory. */
static struct stack_group *group_of(struct stack_groups *groups,
				    const struct ma_viewer_answer *answer, uint32_t slot)
{
	const struct ma_viewer_slot *at = &answer->index->slots[slot];
	uint64_t key = (uint64_t)at->node << 16 | (uint64_t)at->thread << 8 | at->domain;
	uint32_t known = ma_idmap_find(&groups->of_stack, key);
	if (known != MA_IDMAP_NONE)
		return &groups->groups[known];
	if (groups->count == groups->room) {
		uint32_t room = groups->room ? groups->room * 2 : 64;
		struct stack_group *larger = realloc(groups->groups, room * sizeof *larger);
		if (!larger)
			return NULL;
		groups->groups = larger;
		groups->room = room;
	}
	if (!ma_idmap_add(&groups->of_stack, key, groups->count))
		return NULL;
	groups->groups[groups->count] = (struct stack_group){.slot = slot};
	return &groups->groups[groups->count++];
}

/* The stacks of the line, and what they are worth together. false: no memory. */
static bool find_stacks(struct ma_viewer_answer *answer, struct stack_groups *groups,
			struct ma_viewer_sum *all)
{
	const struct ma_viewer_slot *slots = answer->index->slots;
	uint32_t slot_count = ma_viewer_slot_count(answer);
	for (uint32_t slot = 0; slot < slot_count; slot++) {
		if (slots[slot].line + UINT64_C(1) != answer->query->key ||
		    !ma_viewer_slot_wanted(answer, slot) || !ma_viewer_sum_add(all, answer, slot))
			continue;
		struct stack_group *group = group_of(groups, answer, slot);
		if (!group)
			return false;
		ma_viewer_sum_add(&group->sum, answer, slot);
	}
	return true;
}

/* Brings entries offset .. offset + limit - 1 of the wanted order to their places. */
static void order(const struct ma_viewer_answer *answer, const struct stack_groups *groups,
		  struct ma_viewer_entry_rank *entries, uint32_t offset, uint32_t limit)
{
	Memattach__LiveQuery__Column column = answer->query->sort;
	if (column >= MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION)
		column = MEMATTACH__LIVE_QUERY__COLUMN__LIVE;
	for (uint32_t i = 0; i < groups->count; i++)
		entries[i] = (struct ma_viewer_entry_rank){
			ma_viewer_sum_column(&groups->groups[i].sum, column), i,
			answer->index->slots[groups->groups[i].slot].line};
	ma_viewer_order(answer, entries, groups->count, offset, limit);
}

bool ma_viewer_fill_stacks(struct ma_viewer_answer *answer)
{
	struct stack_groups groups = {0};
	struct ma_viewer_sum all = {0};
	Memattach__LiveView *view = answer->view;
	bool done = find_stacks(answer, &groups, &all);
	struct ma_viewer_entry_rank *entries = calloc(groups.count + 1U, sizeof *entries);
	uint32_t count = groups.count;
	uint32_t offset = answer->query->offset < count ? answer->query->offset : count;
	uint32_t limit =
		answer->query->limit < MA_VIEWER_STACKS ? answer->query->limit : MA_VIEWER_STACKS;
	if (limit > count - offset)
		limit = count - offset;
	view->sum = ma_viewer_row(answer, &all, NULL);
	view->row = ma_pool_alloc(answer->pool, limit + 1U, sizeof *view->row);
	view->row_count = count;
	done = done && entries && view->sum && view->row;
	if (done)
		order(answer, &groups, entries, offset, limit);
	for (uint32_t i = 0; done && i < limit; i++) {
		view->row[i] = make_row(answer, &groups.groups[entries[offset + i].item]);
		done = view->row[i] != NULL;
		view->n_row += done;
	}
	free(entries);
	free(groups.groups);
	ma_idmap_fini(&groups.of_stack);
	return done;
}
