/* SPDX-License-Identifier: MIT */
/* Threads: who allocated what is live, in the order that is asked for; and the choice of one. */
#include <math.h>
#include <stdio.h>

#include "cli/live/compact.h"
#include "cli/live/frame.h"

enum { TID_COLUMNS = 10, BAR_COLUMNS = 22, BOX_COLUMNS = 52 };

/* A bar as long as the thread's share of what is live. */
static void draw_share(struct ma_frame *frame, int row, int column, int columns, double ratio)
{
	int cells = columns - 6;
	int full = (int)floor((ratio < 1 ? ratio : 1) * cells + 0.5);
	for (int i = 0; i < full; i++)
		ma_canvas_text(row, column + i, 1, MA_ROLE_LIVE, ma_sign(frame, MA_SIGN_BAR));
	ma_canvas_right(row, column + cells, 6, MA_ROLE_FAINT, ma_compact_share(ratio).text);
}

static double whole_of(const Memattach__LiveView *view)
{
	double whole = 0;
	for (size_t i = 0; i < view->n_thread; i++)
		whole += view->thread[i]->values->live_bytes;
	return whole > 0 ? whole : 1;
}

void ma_draw_threads(struct ma_frame *frame)
{
	struct ma_model *model = frame->model;
	const struct ma_layout *layout = &frame->layout;
	const Memattach__LiveView *view = ma_model_view(model);
	const struct ma_list *list = &model->lists[MA_TAB_THREADS];
	size_t order[64], count = ma_model_threads(model, order);
	int names = ma_columns_heads(frame);
	int bar = frame->columns - names - TID_COLUMNS >= 24 + BAR_COLUMNS ? BAR_COLUMNS : 0;
	int room = frame->columns - names - TID_COLUMNS - bar - 1;
	ma_columns_text_head(frame, names, room, "THREAD", MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION);
	ma_canvas_right(layout->heads_row, names + room, TID_COLUMNS - 2, MA_ROLE_HEADS, "TID");
	double whole = whole_of(view);
	for (int i = 0; i < layout->body_rows; i++) {
		uint32_t rank = list->top + (uint32_t)i;
		int row = layout->body_row + i;
		if (rank >= count)
			break;
		const Memattach__LiveThread *thread = view->thread[order[rank]];
		ma_columns_row(frame, row, thread->values);
		ma_draw_name(frame, row, names, room, MA_ROLE_FUNCTION,
			     thread->name[0] ? thread->name : "(no name)");
		if (thread->tid) {
			char tid[16];
			snprintf(tid, sizeof tid, "%u", thread->tid);
			ma_canvas_right(row, names + room, TID_COLUMNS - 2, MA_ROLE_PLAIN, tid);
		}
		if (bar)
			draw_share(frame, row, names + room + TID_COLUMNS, bar,
				   thread->values->live_bytes / whole);
		if (rank == list->rank)
			ma_canvas_recolor(row, 0, frame->columns, MA_ROLE_PICKED);
		ma_model_hit(model, (struct ma_hit){row, 0, 1, frame->columns, MA_HIT_ROW, rank});
	}
}

void ma_draw_thread_choice(struct ma_frame *frame)
{
	struct ma_model *model = frame->model;
	const Memattach__LiveView *view = ma_model_view(model);
	struct ma_list *list = &model->threads_list;
	size_t order[64], count = ma_model_threads(model, order);
	int rows = (int)count + 3, most = frame->rows - 4;
	if (rows > most)
		rows = most;
	int top = (frame->rows - rows) / 2, left = (frame->columns - BOX_COLUMNS) / 2;
	list->page = (uint32_t)(rows - 2);
	ma_canvas_box(top, left, rows, BOX_COLUMNS, "which thread?");
	for (int i = 0; i < rows - 2; i++) {
		uint32_t rank = list->top + (uint32_t)i;
		int row = top + 1 + i;
		if (rank > count)
			break;
		if (rank == 0) {
			ma_canvas_text(row, left + 2, BOX_COLUMNS - 4, MA_ROLE_PLAIN,
				       "all threads");
		} else {
			const Memattach__LiveThread *thread = view->thread[order[rank - 1]];
			ma_canvas_right(row, left + 1, 8, MA_ROLE_STRONG,
					ma_compact_size(thread->values->live_bytes).text);
			if (thread->tid)
				ma_canvas_print(row, left + 11, 9, MA_ROLE_PLAIN, "%u",
						thread->tid);
			ma_draw_name(frame, row, left + 20, BOX_COLUMNS - 22, MA_ROLE_FUNCTION,
				     thread->name);
		}
		if (rank == list->rank)
			ma_canvas_recolor(row, left + 1, BOX_COLUMNS - 2, MA_ROLE_PICKED);
		ma_model_hit(model,
			     (struct ma_hit){row, left + 1, 1, BOX_COLUMNS - 2, MA_HIT_ROW, rank});
	}
}
