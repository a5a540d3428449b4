/* SPDX-License-Identifier: MIT */
/* The stacks that lead to a line, one at a time: its frames, and the source around the frame that
 * is picked. */
#include <stdio.h>
#include <string.h>

#include "cli/display.h"
#include "cli/live/compact.h"
#include "cli/live/frame.h"

enum { LEAST_SOURCE_ROWS = 3, MOST_SOURCE_ROWS = 15, NUMBER_COLUMNS = 7, TAB_STOP = 8 };

static const char *thread_name(const Memattach__LiveView *view, uint32_t thread, char text[32])
{
	for (size_t i = 0; i < view->n_thread; i++) {
		const Memattach__LiveThread *known = view->thread[i];
		if (known->thread != thread)
			continue;
		if (known->name[0])
			return known->name;
		snprintf(text, 32, "thread %u", known->tid);
		return text;
	}
	return "(other threads)";
}

static void draw_title(struct ma_frame *frame, const Memattach__LiveView *view,
		       const Memattach__LiveRow *stack)
{
	char text[200], thread[32];
	int row = frame->layout.heads_row, end = frame->columns - 1;
	snprintf(text, sizeof text, "stack %u of %u: %s in %s, %.16s, %.60s",
		 frame->model->stack + 1, view->row_count, ma_compact_size(stack->live_bytes).text,
		 ma_compact_count(stack->live_count).text, stack->domain,
		 thread_name(view, stack->thread, thread));
	int taken = ma_draw_name(frame, row, 1, end - 1, MA_ROLE_STRONG, text);
	if (end - taken > 24 && view->row_count > 1)
		ma_canvas_print(row, 1 + taken, end - taken - 1, MA_ROLE_FAINT,
				"   this line: %s in %s",
				ma_compact_size(view->sum->live_bytes).text,
				ma_compact_count(view->sum->live_count).text);
}

static void draw_frames(struct ma_frame *frame, const Memattach__LiveRow *stack, int rows)
{
	struct ma_model *model = frame->model;
	struct ma_list *list = &model->frames;
	int room = frame->columns - 4;
	list->page = (uint32_t)rows;
	ma_list_scroll(list, 0);
	for (int i = 0; i < rows; i++) {
		uint32_t rank = list->top + (uint32_t)i;
		int row = frame->layout.body_row + i;
		if (rank >= stack->n_frame)
			break;
		const Memattach__LiveFrame *at = stack->frame[rank];
		ma_canvas_text(row, 1, 1, MA_ROLE_KEY, rank ? ma_sign(frame, MA_SIGN_RIGHT) : "*");
		int taken = ma_draw_name(frame, row, 3, room / 2, MA_ROLE_FUNCTION, at->function);
		ma_draw_place(frame, row, 3 + taken + 2, room - taken - 2,
			      ma_live_file(at->file, at->module), at->line);
		if (rank == list->rank)
			ma_canvas_recolor(row, 0, frame->columns, MA_ROLE_PICKED);
		ma_model_hit(model, (struct ma_hit){row, 0, 1, frame->columns, MA_HIT_ROW, rank});
	}
}

/* A line of source, tabs as blanks, harmless. */
static void draw_source_line(struct ma_frame *frame, int row, const char *line, size_t bytes,
			     bool marked)
{
	struct ma_text plain = {0}, escaped = {0};
	for (size_t i = 0; i < bytes; i++) {
		if (line[i] == '\t')
			ma_text_repeat(&plain, ' ', TAB_STOP - plain.length % TAB_STOP);
		else
			/* A NUL would end the text unseen. */
			ma_text_add_bytes(&plain, line[i] ? &line[i] : "?", 1);
	}
	ma_draw_name(frame, row, NUMBER_COLUMNS + 2, frame->columns - NUMBER_COLUMNS - 3,
		     marked ? MA_ROLE_STRONG : MA_ROLE_PLAIN, ma_text_string(&plain));
	ma_text_fini(&plain);
	ma_text_fini(&escaped);
}

static void draw_source(struct ma_frame *frame, const Memattach__LiveFrame *at, int top, int rows)
{
	struct ma_source *source = frame->source;
	int head = top++;
	rows--;
	ma_source_load(source, frame->model->pid, at->file);
	for (int i = 0; i < frame->columns; i++)
		ma_canvas_text(head, i, 1, MA_ROLE_FRAME, frame->utf8 ? "\u2500" : "-");
	ma_canvas_text(head, 2, 1, MA_ROLE_PLAIN, " ");
	int taken = ma_draw_place(frame, head, 3, frame->columns - 8, at->file, at->line);
	ma_canvas_text(head, 3 + taken, 1, MA_ROLE_PLAIN, " ");
	if (!source->text) {
		char text[256];
		snprintf(text, sizeof text, "no source: %s",
			 at->module[0] && !at->file[0] ? "no debug information says where it is"
						       : source->reason);
		ma_draw_name(frame, top, 2, frame->columns - 4, MA_ROLE_FAINT, text);
		return;
	}
	int first = at->line - rows / 2;
	if (first + rows > (int)source->line_count + 1)
		first = (int)source->line_count + 1 - rows;
	if (first < 1)
		first = 1;
	for (int i = 0; i < rows; i++) {
		size_t bytes;
		const char *line = ma_source_line(source, (size_t)(first + i), &bytes);
		bool marked = first + i == at->line;
		char number[16];
		if (!line)
			break;
		snprintf(number, sizeof number, "%d", first + i);
		ma_canvas_right(top + i, 0, NUMBER_COLUMNS - 1,
				marked ? MA_ROLE_STRONG : MA_ROLE_FAINT, number);
		if (marked)
			ma_canvas_text(top + i, NUMBER_COLUMNS, 1, MA_ROLE_WARN, ">");
		draw_source_line(frame, top + i, line, bytes, marked);
	}
}

void ma_draw_stack(struct ma_frame *frame)
{
	struct ma_model *model = frame->model;
	const struct ma_layout *layout = &frame->layout;
	const Memattach__LiveView *view = ma_model_view(model);
	if (!ma_model_is_current(model))
		return;
	if (!view->n_row) {
		ma_canvas_text(layout->body_row + 1, 2, frame->columns - 3, MA_ROLE_FAINT,
			       view->indexed < 1 ? "reading stacks"
						 : "nothing of this line any more (Esc: back)");
		return;
	}
	const Memattach__LiveRow *stack = view->row[0];
	int source_rows = layout->body_rows / 2;
	if (source_rows > MOST_SOURCE_ROWS)
		source_rows = MOST_SOURCE_ROWS;
	if (source_rows < LEAST_SOURCE_ROWS)
		source_rows = 0;
	int frame_rows = layout->body_rows - source_rows;
	/* A short stack leaves its room to the source. */
	if ((int)stack->n_frame < frame_rows && source_rows)
		frame_rows = (int)stack->n_frame > 0 ? (int)stack->n_frame : 1;
	source_rows = source_rows ? layout->body_rows - frame_rows : 0;
	draw_title(frame, view, stack);
	draw_frames(frame, stack, frame_rows);
	if (source_rows && model->frames.rank < stack->n_frame)
		draw_source(frame, stack->frame[model->frames.rank], layout->body_row + frame_rows,
			    source_rows);
}
