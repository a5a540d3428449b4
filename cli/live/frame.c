/* SPDX-License-Identifier: MIT */
/* The whole frame: layout, tabs, banner, last row; see frame.h. */
#include "cli/live/frame.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/display.h"
#include "cli/live/compact.h"
#include "cli/live/screen.h"

const char *ma_sign(const struct ma_frame *frame, enum ma_sign sign)
{
	static const char *const signs[MA_SIGNS][2] = {
		[MA_SIGN_PLUS_MINUS] = {"+-", "\u00b1"}, [MA_SIGN_CHANGE] = {"d", "\u0394"},
		[MA_SIGN_DOWN] = {"v", "\u2193"},        [MA_SIGN_UP] = {"^", "\u2191"},
		[MA_SIGN_OPEN] = {"-", "\u25be"},        [MA_SIGN_CLOSED] = {"+", "\u25b8"},
		[MA_SIGN_LEAF] = {" ", "\u00b7"},        [MA_SIGN_RIGHT] = {">", "\u203a"},
		[MA_SIGN_BAR] = {"#", "\u2588"},         [MA_SIGN_NO_BAR] = {"-", "\u2591"},
		[MA_SIGN_CURSOR] = {"|", "\u2502"},
	};
	return signs[sign][frame->utf8];
}

int ma_draw_name(struct ma_frame *frame, int row, int column, int columns, enum ma_role role,
		 const char *name)
{
	struct ma_text escaped = {0}, cut = {0};
	(void)frame;
	if (columns <= 0)
		return 0;
	ma_display_escape(&escaped, name);
	ma_display_add_start(&cut, ma_text_string(&escaped), (unsigned)columns);
	int taken = ma_canvas_text(row, column, columns, role, ma_text_string(&cut));
	ma_text_fini(&escaped);
	ma_text_fini(&cut);
	return taken;
}

int ma_draw_place(struct ma_frame *frame, int row, int column, int columns, const char *file,
		  int32_t line)
{
	struct ma_text escaped = {0}, cut = {0};
	(void)frame;
	if (columns <= 0 || !file[0])
		return 0;
	ma_display_escape(&escaped, ma_display_path(file));
	if (line > 0)
		ma_text_addf(&escaped, ":%d", line);
	ma_display_add_end(&cut, ma_text_string(&escaped), (unsigned)columns);
	int taken = ma_canvas_text(row, column, columns, MA_ROLE_FILE, ma_text_string(&cut));
	ma_text_fini(&escaped);
	ma_text_fini(&cut);
	return taken;
}

const char *ma_live_file(const char *file, const char *module)
{
	const char *slash = strrchr(module, '/');
	if (file[0] || !module[0])
		return file;
	return slash && slash[1] ? slash + 1 : module;
}

struct ma_layout ma_layout_make(int rows, bool banner)
{
	struct ma_layout layout = {.banner_row = -1};
	int at = MA_HEAD_ROWS;
	layout.graph_row = at;
	layout.graph_rows = rows < 20 ? 1 : rows < 30 ? 2 : rows < 50 ? 4 : 6;
	at += layout.graph_rows;
	layout.tab_row = at++;
	if (banner)
		layout.banner_row = at++;
	layout.heads_row = at++;
	layout.body_row = at;
	layout.last_row = rows - 1;
	layout.body_rows = layout.last_row - at;
	return layout;
}

/* What the banner says; the role of nothing to say is MA_ROLE_PLAIN. */
static enum ma_role banner_text(const struct ma_frame *frame, char *text, size_t room)
{
	const struct ma_model *model = frame->model;
	const Memattach__LiveView *view = ma_model_view(model), *head = ma_model_head(model);
	struct ma_text escaped = {0};
	enum ma_role role = MA_ROLE_PLAIN;
	text[0] = '\0';
	if (model->gone[0]) {
		snprintf(text, room, "NO ANSWER  %s  (figures of %s)", model->gone,
			 view ? ma_compact_clock(view->time_nanos, true).text : "never");
		role = MA_ROLE_ALARM;
	} else if (ma_model_has_ended(model)) {
		bool lost = view->session->state == MEMATTACH__SESSION__STATE__LOST;
		ma_display_escape(&escaped, view->session->ended);
		snprintf(text, room, "%s  %s: this is the last state", lost ? "LOST" : "ENDED",
			 ma_text_string(&escaped));
		role = MA_ROLE_ALARM;
	} else if (model->frozen && head) {
		snprintf(text, room, "FROZEN at %s: Space goes on (collection never stopped)",
			 ma_compact_clock(head->time_nanos, true).text);
		role = MA_ROLE_FREEZE;
	}
	ma_text_fini(&escaped);
	return role;
}

static void draw_tabs(struct ma_frame *frame)
{
	static const char *const names[MA_TABS] = {"sites", "tree", "flame", "threads", "time"};
	struct ma_model *model = frame->model;
	int row = frame->layout.tab_row, column = 1;
	for (int i = 0; i < MA_TABS; i++) {
		bool on = (int)model->tab == i;
		char text[24];
		snprintf(text, sizeof text, on ? "[%d %s]" : " %d %s ", i + 1, names[i]);
		int taken = ma_canvas_text(row, column, frame->columns - column,
					   on ? MA_ROLE_TAB : MA_ROLE_KEY, text);
		ma_model_hit(model,
			     (struct ma_hit){row, column, 1, taken, MA_HIT_TAB, (uint64_t)i});
		column += taken;
	}
	int room = frame->columns - column - 3;
	char thread[96];
	const Memattach__LiveView *view = ma_model_view(model);
	snprintf(thread, sizeof thread, "all threads");
	for (size_t i = 0; view && model->thread && i < view->n_thread; i++)
		if (view->thread[i]->thread == model->thread)
			snprintf(thread, sizeof thread, "thread %u %.72s", view->thread[i]->tid,
				 view->thread[i]->name);
	if (room < 8)
		return;
	struct ma_text right = {0}, cut = {0};
	bool reading = view && view->indexed < 1;
	bool cut_short =
		view && view->tree_cut && (model->tab == MA_TAB_TREE || model->tab == MA_TAB_FLAME);
	if (reading)
		ma_text_addf(&right, "reading %s  ", ma_compact_share(view->indexed).text);
	if (cut_short)
		ma_text_addf(&right, "no room for all of %" PRIu64 " sites' stacks  ",
			     view->tree_cut);
	if (model->filter[0]) {
		ma_text_add(&right, "/");
		ma_display_escape(&right, model->filter);
		ma_text_add(&right, "/  ");
	}
	ma_display_escape(&right, thread);
	ma_display_add_start(&cut, ma_text_string(&right), (unsigned)room);
	ma_canvas_right(row, column + 2, room,
			model->filter[0] || model->thread || reading || cut_short ? MA_ROLE_WARN
										  : MA_ROLE_FAINT,
			ma_text_string(&cut));
	ma_text_fini(&right);
	ma_text_fini(&cut);
}

/* The line that is being typed, with what is wrong with it. */
static void draw_prompt(struct ma_frame *frame)
{
	const struct ma_model *model = frame->model;
	bool filters = model->layer == MA_LAYER_FILTER;
	int row = frame->layout.last_row, column = 1;
	column += ma_canvas_text(row, column, frame->columns, MA_ROLE_KEY,
				 filters ? "filter /" : "dump to: ");
	const char *error = filters && model->filter_error ? model->filter_error : "";
	const char *hint = error[0] ? error : "Enter takes it  Esc leaves it";
	int hint_columns = (int)ma_display_columns(hint) + 2;
	int room = frame->columns - column - hint_columns - 1;
	if (room < 16) {
		hint_columns = error[0] ? hint_columns : 0;
		room = frame->columns - column - hint_columns - 1;
	}
	struct ma_text before = {0}, all = {0};
	ma_text_add_bytes(&before, model->edit.text, model->edit.cursor);
	ma_display_escape(&all, ma_text_string(&before));
	int at = (int)ma_display_columns(ma_text_string(&all));
	/* A text that is too long is shown up to the cursor. */
	int skip = at >= room ? at - room + 1 : 0;
	ma_display_escape(&all, model->edit.text + model->edit.cursor);
	const char *shown = ma_text_string(&all);
	for (int skipped = 0; skipped < skip && *shown;) {
		struct ma_text one = {0};
		const char *from = shown;
		uint32_t sign;
		ma_display_decode(&shown, &sign);
		ma_text_add_bytes(&one, from, (size_t)(shown - from));
		skipped += (int)ma_display_columns(ma_text_string(&one));
		ma_text_fini(&one);
	}
	ma_canvas_text(row, column, room, MA_ROLE_STRONG, shown);
	ma_canvas_cursor(row, column + at - skip);
	if (hint_columns)
		ma_canvas_right(row, frame->columns - hint_columns, hint_columns - 1,
				error[0] ? MA_ROLE_BAD : MA_ROLE_FAINT, hint);
	ma_text_fini(&before);
	ma_text_fini(&all);
}

/* As many of the hints as there is room for; they are two blanks apart. */
static void draw_hints(struct ma_frame *frame, const char *hints)
{
	int column = 1;
	while (*hints) {
		const char *end = strstr(hints, "  ");
		size_t bytes = end ? (size_t)(end - hints) : strlen(hints);
		if (column + (int)bytes >= frame->columns)
			return;
		ma_canvas_print(frame->layout.last_row, column, (int)bytes, MA_ROLE_FAINT, "%.*s",
				(int)bytes, hints);
		column += (int)bytes + 2;
		hints += bytes + (end ? 2 : 0);
	}
}

static void draw_last_row(struct ma_frame *frame)
{
	static const char *const hints[MA_TABS] = {
		[MA_TAB_LINES] = "? help  Enter stacks  s sort  / filter  r reference  Space "
				 "freeze  d dump  q leave",
		[MA_TAB_TREE] = "? help  Enter open  s sort  / filter  e heaviest  c close  r "
				"reference  q leave",
		[MA_TAB_FLAME] = "? help  Enter zoom  Backspace back  s by what  / filter  Space "
				 "freeze  q leave",
		[MA_TAB_THREADS] = "? help  Enter its sites  s sort  r reference  Space freeze  q "
				   "leave",
		[MA_TAB_TIME] = "? help  left, right: a moment  Space freeze  d dump  q leave",
	};
	const struct ma_model *model = frame->model;
	if (model->layer == MA_LAYER_FILTER || model->layer == MA_LAYER_DUMP) {
		draw_prompt(frame);
	} else if (frame->now_ms < model->notice_until_ms) {
		ma_draw_name(frame, frame->layout.last_row, 1, frame->columns - 2, MA_ROLE_STRONG,
			     model->notice);
	} else if (model->layer == MA_LAYER_STACK) {
		draw_hints(frame, "Esc back  up, down: a frame  left, right: another stack");
	} else if (model->layer == MA_LAYER_THREADS) {
		draw_hints(frame, "Enter chooses  Esc leaves it");
	} else {
		draw_hints(frame, hints[model->tab]);
	}
}

static void draw_too_small(const struct ma_frame *frame)
{
	char text[96];
	snprintf(text, sizeof text, "memattach needs %dx%d; this is %dx%d", MA_SCREEN_LEAST_COLUMNS,
		 MA_SCREEN_LEAST_ROWS, frame->columns, frame->rows);
	ma_canvas_text(frame->rows / 2, 0, frame->columns, MA_ROLE_STRONG, text);
	ma_canvas_text(frame->rows / 2 + 1, 0, frame->columns, MA_ROLE_PLAIN,
		       "enlarge it, or q to leave");
}

static void draw_body(struct ma_frame *frame)
{
	static void (*const bodies[MA_TABS])(struct ma_frame *) = {
		[MA_TAB_LINES] = ma_draw_rows,  [MA_TAB_TREE] = ma_draw_rows,
		[MA_TAB_FLAME] = ma_draw_flame, [MA_TAB_THREADS] = ma_draw_threads,
		[MA_TAB_TIME] = ma_draw_time,
	};
	const struct ma_model *model = frame->model;
	const Memattach__LiveView *view = ma_model_view(model);
	if (!view)
		return;
	if (model->layer == MA_LAYER_STACK)
		ma_draw_stack(frame);
	else
		bodies[model->tab](frame);
}

void ma_frame_draw(struct ma_frame *frame)
{
	char banner[320];
	struct ma_model *model = frame->model;
	ma_canvas_begin(frame->utf8);
	model->hit_count = 0;
	if (frame->rows < MA_SCREEN_LEAST_ROWS || frame->columns < MA_SCREEN_LEAST_COLUMNS) {
		draw_too_small(frame);
		ma_canvas_show();
		return;
	}
	enum ma_role role = banner_text(frame, banner, sizeof banner);
	frame->layout = ma_layout_make(frame->rows, role != MA_ROLE_PLAIN);
	ma_model_resize(model, frame->layout.body_rows, frame->columns);
	ma_draw_head(frame);
	ma_draw_graphs(frame);
	draw_tabs(frame);
	if (frame->layout.banner_row >= 0) {
		ma_canvas_fill(frame->layout.banner_row, 0, frame->columns, role);
		ma_draw_name(frame, frame->layout.banner_row, 1, frame->columns - 2, role, banner);
	}
	draw_body(frame);
	draw_last_row(frame);
	if (model->layer == MA_LAYER_HELP)
		ma_draw_help(frame);
	if (model->layer == MA_LAYER_THREADS && ma_model_view(model))
		ma_draw_thread_choice(frame);
	ma_canvas_show();
}
