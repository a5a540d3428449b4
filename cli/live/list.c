/* SPDX-License-Identifier: MIT */
/* Picking and scrolling; see list.h. */
#include "cli/live/list.h"

static uint32_t clamp(int64_t value, uint32_t most)
{
	return value < 0 ? 0 : value > most ? most : (uint32_t)value;
}

static uint32_t last_rank(const struct ma_list *list)
{
	return list->count ? list->count - 1 : 0;
}

/* Moves the page so that the pick is on it, and no further than the rows reach. */
static void show_pick(struct ma_list *list)
{
	if (list->rank < list->top)
		list->top = list->rank;
	if (list->page && list->rank >= list->top + list->page)
		list->top = list->rank - list->page + 1;
	uint32_t last_top = list->count > list->page ? list->count - list->page : 0;
	if (list->top > last_top)
		list->top = last_top;
}

void ma_list_pick(struct ma_list *list, uint32_t rank, uint64_t key)
{
	list->rank = clamp(rank, last_rank(list));
	list->key = key;
	list->held = true;
	show_pick(list);
}

void ma_list_move(struct ma_list *list, int64_t rows)
{
	uint32_t rank = clamp((int64_t)list->rank + rows, last_rank(list));
	if (rank != list->rank || !list->key)
		ma_list_pick(list, rank, 0);
	/* Back at the top by steps: there it watches again. */
	if (rank == 0 && rows < 0)
		ma_list_home(list);
}

void ma_list_home(struct ma_list *list)
{
	list->rank = 0;
	list->key = 0;
	list->top = 0;
	list->held = false;
}

void ma_list_end(struct ma_list *list)
{
	ma_list_pick(list, last_rank(list), 0);
}

void ma_list_scroll(struct ma_list *list, int64_t rows)
{
	uint32_t last_top = list->count > list->page ? list->count - list->page : 0;
	list->top = clamp((int64_t)list->top + rows, last_top);
	uint32_t rank = list->rank;
	if (rank < list->top)
		rank = list->top;
	if (list->page && rank >= list->top + list->page)
		rank = list->top + list->page - 1;
	if (rank != list->rank)
		ma_list_pick(list, rank, 0);
	if (!list->top && !rank)
		list->held = false;
}

bool ma_list_take(struct ma_list *list, const struct ma_list_answer *answer, uint64_t asked_key)
{
	list->count = answer->count;
	if (list->held && list->key && list->key == asked_key) {
		if (answer->selected_rank)
			list->rank = answer->selected_rank - 1;
		else
			list->key = 0;
	}
	if (!list->held)
		list->rank = 0;
	list->rank = clamp(list->rank, last_rank(list));
	show_pick(list);
	if (list->held && !list->key && list->rank >= answer->first &&
	    list->rank - answer->first < answer->row_count)
		list->key = answer->keys[list->rank - answer->first];
	uint32_t end = list->top + list->page < list->count ? list->top + list->page : list->count;
	return list->top < answer->first || end > answer->first + answer->row_count;
}

void ma_list_wanted(const struct ma_list *list, uint32_t *offset, uint32_t *limit)
{
	*offset = list->top > list->page ? list->top - list->page : 0;
	*limit = list->top - *offset + 2 * list->page;
}
