/* SPDX-License-Identifier: MIT */
/* The flame: every level of the call tree a row, every call as wide as its share. The outermost
 * calls are on top. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/display.h"
#include "cli/live/compact.h"
#include "cli/live/frame.h"

/* What the flame is laid out by, in the order of Memattach__LiveQuery__Column. */
static const char *const measures[] = {"live",      "growth", "held", "at the peak",
				       "allocated", "count",  "live", "live"};

/* A shade that a function always has, as far as its neighbour has another. */
static int shade_of(const Memattach__LiveRow *cell)
{
	unsigned hash = 5381;
	for (const char *at = cell->function; *at; at++)
		hash = hash * 33 + (unsigned char)*at;
	return (int)(hash >> 3) % MA_FLAME_SHADES;
}

static struct ma_figure value_of(const struct ma_frame *frame, const Memattach__LiveRow *cell)
{
	Memattach__LiveQuery__Column column = frame->model->sort;
	if (column == MEMATTACH__LIVE_QUERY__COLUMN__COUNT)
		return ma_compact_count(cell->live_count);
	if (column == MEMATTACH__LIVE_QUERY__COLUMN__DELTA)
		return ma_compact_change(cell->delta_bytes);
	if (column >= MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION)
		column = MEMATTACH__LIVE_QUERY__COLUMN__LIVE;
	return ma_compact_size(ma_model_column(cell, column));
}

static void draw_cell(struct ma_frame *frame, const Memattach__LiveRow *cell, int row, int column,
		      int columns, enum ma_role role)
{
	char value[40];
	ma_canvas_fill(row, column, columns, role);
	if (columns < 3)
		return;
	snprintf(value, sizeof value, "  %s", value_of(frame, cell).text);
	const char *name = cell->key ? cell->function : "everything";
	int taken = ma_draw_name(frame, row, column + 1, columns - 1, role, name);
	if (taken + 1 + (int)strlen(value) < columns)
		ma_canvas_text(row, column + 1 + taken, columns - taken - 1, role, value);
}

/* The row above: what is picked, or else how the flame came about. */
static void draw_title(struct ma_frame *frame, const Memattach__LiveRow *picked)
{
	const struct ma_model *model = frame->model;
	const Memattach__LiveView *view = ma_model_view(model);
	int row = frame->layout.heads_row, at = 1, end = frame->columns - 1;
	if (!picked) {
		at += ma_canvas_print(row, at, end - at, MA_ROLE_FAINT, "by %s bytes, %s in all",
				      measures[model->sort], value_of(frame, view->sum).text);
		return;
	}
	double whole = ma_model_column(view->sum, model->sort);
	double part = ma_model_column(picked, model->sort);
	char figures[80];
	snprintf(figures, sizeof figures, "  %s %s", value_of(frame, picked).text,
		 whole > 0 && part > 0 ? ma_compact_share(part / whole).text : "");
	int room = end - at - (int)strlen(figures);
	const char *name = picked->key ? picked->function : "everything";
	int taken = ma_draw_name(frame, row, at, room / 2, MA_ROLE_FUNCTION, name);
	at += taken + 1;
	at += ma_draw_place(frame, row, at, room - taken - 1,
			    ma_live_file(picked->file, picked->module), picked->line);
	ma_canvas_text(row, at, end - at, MA_ROLE_STRONG, figures);
}

void ma_draw_flame(struct ma_frame *frame)
{
	struct ma_model *model = frame->model;
	const struct ma_layout *layout = &frame->layout;
	const Memattach__LiveView *view = ma_model_view(model);
	const Memattach__LiveRow *picked = NULL;
	if (!ma_model_is_current(model))
		return;
	if (!view->n_row) {
		ma_canvas_text(layout->body_row + 1, 2, frame->columns - 3, MA_ROLE_FAINT,
			       view->indexed < 1 ? "reading stacks" : "nothing to lay out here");
		return;
	}
	int previous_row = -1, previous_shade = 0, previous_end = 0;
	for (int level = 0; level < layout->body_rows; level++) {
		int row = layout->body_row + level;
		for (size_t i = 0; i < view->n_row; i++) {
			const Memattach__LiveRow *cell = view->row[i];
			if ((int)(cell->depth - model->flame_level) != level)
				continue;
			int column = (int)floor(cell->start * frame->columns + 0.5);
			int end = (int)floor((cell->start + cell->width) * frame->columns + 0.5);
			int shade = shade_of(cell);
			/* Odd and even shades differ even without colours. */
			if (row == previous_row && column <= previous_end &&
			    shade % 2 == previous_shade % 2)
				shade = (shade + 1) % MA_FLAME_SHADES;
			bool is_picked = cell->key == model->cell;
			draw_cell(frame, cell, row, column, end - column,
				  is_picked ? MA_ROLE_PICKED
					    : (enum ma_role)(MA_ROLE_FLAME + shade));
			ma_model_hit(model, (struct ma_hit){row, column, 1, end - column,
							    MA_HIT_CELL, cell->key});
			if (is_picked)
				picked = cell;
			previous_row = row;
			previous_shade = shade;
			previous_end = end;
		}
	}
	draw_title(frame, picked);
}
