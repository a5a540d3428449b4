/* SPDX-License-Identifier: MIT */
/* Moving about in the flame: cells have places, not ranks. See model_keys.h. */
#include "cli/live/model_keys.h"

#include <math.h>

static const Memattach__LiveRow *find_cell(const Memattach__LiveView *view, uint64_t key)
{
	for (size_t i = 0; i < view->n_row; i++)
		if (view->row[i]->key == key)
			return view->row[i];
	return NULL;
}

/* Is the cell over the middle of the other one? */
static bool covers(const Memattach__LiveRow *cell, double place)
{
	return place >= cell->start && place < cell->start + cell->width;
}

/* The cell a step away: a level up or down, or the next one in the level. NULL: there is none. */
static const Memattach__LiveRow *neighbour(const Memattach__LiveView *view,
					   const Memattach__LiveRow *from,
					   enum ma_command_key command)
{
	const Memattach__LiveRow *best = NULL;
	double middle = from->start + from->width / 2;
	for (size_t i = 0; i < view->n_row; i++) {
		const Memattach__LiveRow *cell = view->row[i];
		bool better = false;
		switch (command) {
		case MA_DO_UP:
			better = cell->depth + 1 == from->depth && covers(cell, middle);
			break;
		case MA_DO_DOWN:
			/* The widest of the children. */
			better = cell->depth == from->depth + 1 &&
				 covers(from, cell->start + cell->width / 2) &&
				 (!best || cell->width > best->width);
			break;
		case MA_DO_LEFT:
			better = cell->depth == from->depth && cell->start < from->start &&
				 (!best || cell->start > best->start);
			break;
		case MA_DO_RIGHT:
			better = cell->depth == from->depth && cell->start > from->start &&
				 (!best || cell->start < best->start);
			break;
		default:
			break;
		}
		if (better)
			best = cell;
	}
	return best;
}

static void zoom(struct ma_model *model, uint64_t root, uint64_t cell)
{
	model->root = root;
	model->cell = cell;
	model->flame_level = 0;
	model->asks = true;
}

void ma_model_flame_key(struct ma_model *model, enum ma_command_key command)
{
	const Memattach__LiveView *view = ma_model_view(model);
	if (!view || !ma_model_is_current(model))
		return;
	const Memattach__LiveRow *from = find_cell(view, model->cell);
	uint32_t page = model->page_rows > 1 ? (uint32_t)model->page_rows : 1;
	switch (command) {
	case MA_DO_ENTER:
		if (from && from->key != model->root)
			zoom(model, from->key, from->key);
		return;
	case MA_DO_BACK:
		/* One call further out. */
		if (view->n_ancestor)
			zoom(model,
			     view->n_ancestor > 1 ? view->ancestor[view->n_ancestor - 2]->key : 0,
			     model->root);
		return;
	case MA_DO_ESCAPE:
	case MA_DO_HOME:
		zoom(model, 0, 0);
		return;
	case MA_DO_PAGE_DOWN:
		if (model->flame_level + page < view->row_count)
			model->flame_level += page;
		model->asks = true;
		return;
	case MA_DO_PAGE_UP:
		model->flame_level = model->flame_level > page ? model->flame_level - page : 0;
		model->asks = true;
		return;
	default:
		break;
	}
	if (!from && view->n_row)
		from = view->row[0];
	const Memattach__LiveRow *to = from ? neighbour(view, from, command) : NULL;
	if (!to && from && command == MA_DO_DOWN && from->depth + 1 == model->flame_level + page &&
	    from->depth + 1 < view->row_count) {
		/* The level below is not on the screen yet. */
		model->flame_level++;
		model->asks = true;
	} else if (!to && command == MA_DO_UP && model->flame_level) {
		model->flame_level--;
		model->asks = true;
	} else if (to) {
		model->cell = to->key;
	}
}
