/* SPDX-License-Identifier: MIT */
/* Sites and the call tree: figures, then names. */
#include <stdio.h>

#include "cli/live/compact.h"
#include "cli/live/frame.h"

enum { INDENT = 2, LEAST_TREE_NAME = 12, LEAST_CALLEE = 8 };

/* Where the names go. */
struct names {
	int function, function_columns;
	int file, file_columns;
};

static struct names place_names(const struct ma_frame *frame, int column)
{
	int room = frame->columns - column - 1;
	/* Functions have shorter names than files. */
	int function = room * 9 / 20;
	if (function > 60)
		function = 60;
	return (struct names){column, function, column + function + 2, room - function - 2};
}

/* What stands in the body when there are no rows. */
static void draw_nothing(struct ma_frame *frame)
{
	const struct ma_model *model = frame->model;
	const Memattach__LiveView *view = ma_model_view(model);
	char text[128];
	if (view->indexed < 1)
		snprintf(text, sizeof text, "reading sites: %s",
			 ma_compact_share(view->indexed).text);
	else if (model->filter[0])
		snprintf(text, sizeof text, "nothing here matches the filter (Esc clears it)");
	else if (model->thread)
		snprintf(text, sizeof text, "nothing of this thread (Esc: all threads)");
	else
		snprintf(text, sizeof text,
			 "nothing was allocated since the attach, as far as "
			 "sampling tells");
	ma_canvas_text(frame->layout.body_row + 1, 2, frame->columns - 3, MA_ROLE_FAINT, text);
}

static void draw_tree_names(struct ma_frame *frame, int row, const struct names *names,
			    const Memattach__LiveRow *values)
{
	int room = frame->columns - names->function - 1;
	int indent = (int)values->depth * INDENT;
	/* Deep down names still need some room: the indent wraps round. */
	int most = room - LEAST_TREE_NAME > INDENT ? (room - LEAST_TREE_NAME) / 2 : INDENT;
	indent = indent > most ? most - (most % INDENT) : indent;
	int at = names->function + indent;
	const char *sign = ma_sign(frame, !values->has_children ? MA_SIGN_LEAF
					  : values->open        ? MA_SIGN_OPEN
								: MA_SIGN_CLOSED);
	at += ma_canvas_text(row, at, 1, MA_ROLE_KEY, sign) + 1;
	room = frame->columns - at - 1;
	int taken = ma_draw_name(frame, row, at, room * 3 / 5, MA_ROLE_FUNCTION, values->function);
	ma_draw_place(frame, row, at + taken + 2, room - taken - 2,
		      ma_live_file(values->file, values->module), values->line);
}

static void draw_line_names(struct ma_frame *frame, int row, const struct names *names,
			    const Memattach__LiveRow *values)
{
	int taken = ma_draw_name(frame, row, names->function, names->function_columns,
				 MA_ROLE_FUNCTION, values->function);
	int left = names->function_columns - taken;
	/* What it called in native code, as far as there is room. */
	if (values->callee[0] && left >= LEAST_CALLEE) {
		ma_canvas_text(row, names->function + taken, 3, MA_ROLE_FAINT, " > ");
		ma_draw_name(frame, row, names->function + taken + 3, left - 3, MA_ROLE_FAINT,
			     values->callee);
	}
	ma_draw_place(frame, row, names->file, names->file_columns,
		      ma_live_file(values->file, values->module), values->line);
}

void ma_draw_rows(struct ma_frame *frame)
{
	struct ma_model *model = frame->model;
	const struct ma_layout *layout = &frame->layout;
	const struct ma_list *list = &model->lists[model->tab];
	bool tree = model->tab == MA_TAB_TREE;
	struct names names = place_names(frame, ma_columns_heads(frame));
	ma_columns_text_head(frame, names.function, names.function_columns,
			     tree ? "CALLS" : "FUNCTION", MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION);
	ma_columns_text_head(frame, names.file, names.file_columns, "FILE:LINE",
			     MEMATTACH__LIVE_QUERY__COLUMN__FILE);
	if (!ma_model_is_current(model))
		return;
	if (!list->count)
		draw_nothing(frame);
	for (int i = 0; i < layout->body_rows; i++) {
		uint32_t rank = list->top + (uint32_t)i;
		const Memattach__LiveRow *values = ma_model_row(model, rank);
		int row = layout->body_row + i;
		if (!values || rank >= list->count)
			continue;
		ma_columns_row(frame, row, values);
		if (tree)
			draw_tree_names(frame, row, &names, values);
		else
			draw_line_names(frame, row, &names, values);
		if (rank == list->rank)
			ma_canvas_recolor(row, 0, frame->columns, MA_ROLE_PICKED);
		ma_model_hit(model, (struct ma_hit){row, 0, 1, frame->columns, MA_HIT_ROW, rank});
	}
}
