/* SPDX-License-Identifier: MIT */
/* What keys and clicks do to the model; see model.h. */
#include "cli/live/model_keys.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/pattern.h"

enum { WHEEL_ROWS = 3 };

static void show_tab(struct ma_model *model, enum ma_view_tab tab)
{
	model->tab = tab;
	model->layer = MA_LAYER_NONE;
	model->asks = true;
}

static void sort_by(struct ma_model *model, Memattach__LiveQuery__Column column)
{
	model->sort = column;
	model->ascending = false;
	for (int i = 0; i < MA_TABS; i++)
		ma_list_home(&model->lists[i]);
	model->wishes++;
	model->asks = true;
}

static void sort_next(struct ma_model *model)
{
	/* The flame has no names to be laid out by. */
	int count = model->tab == MA_TAB_FLAME ? MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION
					       : MEMATTACH__LIVE_QUERY__COLUMN__FILE + 1;
	sort_by(model, (Memattach__LiveQuery__Column)(((int)model->sort + 1) % count));
}

static void turn_order(struct ma_model *model)
{
	model->ascending = !model->ascending;
	for (int i = 0; i < MA_TABS; i++)
		ma_list_home(&model->lists[i]);
	model->wishes++;
	model->asks = true;
}

static void freeze(struct ma_model *model)
{
	if (model->frozen) {
		ma_model_thaw(model);
		return;
	}
	model->frozen = true;
	model->mark_frozen = true;
	model->asks = true;
}

static void set_reference(struct ma_model *model, bool attach, uint64_t now_ms)
{
	if (attach) {
		model->reference = 0;
		ma_model_notice(model, now_ms, "changes count from the attach");
	} else {
		model->mark_reference = true;
		ma_model_notice(model, now_ms, "changes count from now");
	}
	model->asks = true;
}

/* The other index has other keys: what was picked and open is not known there. */
static void switch_native(struct ma_model *model, uint64_t now_ms)
{
	model->native = !model->native;
	if (model->layer == MA_LAYER_STACK)
		model->layer = MA_LAYER_NONE;
	for (int i = 0; i < MA_TAB_THREADS; i++)
		ma_list_home(&model->lists[i]);
	ma_model_notice(model, now_ms, model->native ? "with native frames" : "Python frames only");
	model->wishes++;
	model->asks = true;
}

static void choose_thread(struct ma_model *model, uint32_t thread)
{
	model->thread = thread;
	model->layer = MA_LAYER_NONE;
	for (int i = 0; i < MA_TAB_THREADS; i++)
		ma_list_home(&model->lists[i]);
	model->wishes++;
	model->asks = true;
}

static void enter_stack(struct ma_model *model, uint64_t line_key)
{
	model->layer = MA_LAYER_STACK;
	model->line_key = line_key;
	model->stack = 0;
	model->frames = (struct ma_list){.page = model->frames.page};
	model->asks = true;
}

/* The row that is picked in lines or tree. */
static const Memattach__LiveRow *picked_row(const struct ma_model *model)
{
	return ma_model_is_current(model) ? ma_model_row(model, model->lists[model->tab].rank)
					  : NULL;
}

static void open_node(struct ma_model *model, const Memattach__LiveRow *row, bool open)
{
	ma_key_set_put(&model->open, row->key, open);
	model->open_heaviest = false;
	ma_list_pick(&model->lists[MA_TAB_TREE], model->lists[MA_TAB_TREE].rank, row->key);
	model->asks = true;
}

/* Right opens, then goes in; Left closes, then goes out to the parent. */
static void step_tree(struct ma_model *model, bool inwards)
{
	struct ma_list *list = &model->lists[MA_TAB_TREE];
	const Memattach__LiveRow *row = picked_row(model), *above = row;
	if (!row)
		return;
	if (inwards && row->has_children && !row->open) {
		open_node(model, row, true);
	} else if (inwards && row->open) {
		ma_list_move(list, 1);
	} else if (!inwards && row->open) {
		open_node(model, row, false);
	} else if (!inwards) {
		uint32_t rank = list->rank;
		while (rank > 0 && above && above->depth >= row->depth)
			above = ma_model_row(model, --rank);
		if (above && above->depth < row->depth)
			ma_list_pick(list, rank, above->key);
	}
}

static void enter(struct ma_model *model)
{
	const Memattach__LiveView *view = ma_model_view(model);
	const Memattach__LiveRow *row;
	size_t order[64];
	uint32_t rank;
	switch (model->tab) {
	case MA_TAB_LINES:
		row = picked_row(model);
		if (row)
			enter_stack(model, row->line_key);
		break;
	case MA_TAB_TREE:
		row = picked_row(model);
		if (row && row->has_children)
			open_node(model, row, !row->open);
		else if (row)
			enter_stack(model, row->line_key);
		break;
	case MA_TAB_THREADS:
		rank = model->lists[MA_TAB_THREADS].rank;
		if (view && rank < ma_model_threads(model, order)) {
			choose_thread(model, view->thread[order[rank]]->thread);
			show_tab(model, MA_TAB_LINES);
		}
		break;
	default:
		break;
	}
}

static void begin_filter(struct ma_model *model)
{
	model->layer = MA_LAYER_FILTER;
	model->filter_error = NULL;
	memcpy(model->filter_before, model->filter, sizeof model->filter_before);
	ma_edit_begin(&model->edit, model->filter);
}

static void set_filter(struct ma_model *model, const char *filter)
{
	if (strcmp(model->filter, filter) == 0)
		return;
	snprintf(model->filter, sizeof model->filter, "%s", filter);
	for (int i = 0; i < MA_TAB_THREADS; i++)
		ma_list_home(&model->lists[i]);
	model->wishes++;
	model->asks = true;
}

static void begin_dump(struct ma_model *model)
{
	char name[64], when[32] = "";
	time_t now = time(NULL);
	struct tm local;
	if (localtime_r(&now, &local))
		strftime(when, sizeof when, "%Y%m%d-%H%M%S", &local);
	snprintf(name, sizeof name, "snapshot-%d-%s.bin", (int)model->pid, when);
	model->layer = MA_LAYER_DUMP;
	ma_edit_begin(&model->edit, name);
}

/* While something is typed. */
static enum ma_wish type(struct ma_model *model, const struct ma_key *key)
{
	static struct ma_pattern pattern; /* several KiB */
	bool filters = model->layer == MA_LAYER_FILTER;
	if (key->kind == MA_KEY_CLOSED)
		return MA_WISH_LEAVE;
	if (key->kind == MA_KEY_ESCAPE) {
		if (filters)
			set_filter(model, model->filter_before);
		model->layer = MA_LAYER_NONE;
		return MA_WISH_NOTHING;
	}
	if (key->kind == MA_KEY_ENTER) {
		if (filters && model->filter_error)
			return MA_WISH_NOTHING;
		model->layer = MA_LAYER_NONE;
		return filters || !model->edit.text[0] ? MA_WISH_NOTHING : MA_WISH_DUMP;
	}
	if (key->kind == MA_KEY_UP || key->kind == MA_KEY_DOWN) {
		ma_list_move(&model->lists[model->tab], key->kind == MA_KEY_UP ? -1 : 1);
		return MA_WISH_NOTHING;
	}
	if (!ma_edit_key(&model->edit, key) || !filters)
		return MA_WISH_NOTHING;
	/* What is no pattern yet leaves the last one that was in force. */
	if (ma_pattern_compile(&pattern, model->edit.text, &model->filter_error))
		set_filter(model, model->edit.text);
	return MA_WISH_NOTHING;
}

/* Keys that move in a list; false: it is none of them. */
static bool move(struct ma_list *list, enum ma_command_key command)
{
	int64_t page = list->page > 1 ? list->page - 1 : 1;
	switch (command) {
	case MA_DO_UP:
		ma_list_move(list, -1);
		return true;
	case MA_DO_DOWN:
		ma_list_move(list, 1);
		return true;
	case MA_DO_PAGE_UP:
		ma_list_move(list, -page);
		return true;
	case MA_DO_PAGE_DOWN:
		ma_list_move(list, page);
		return true;
	case MA_DO_HOME:
		ma_list_home(list);
		return true;
	case MA_DO_END:
		ma_list_end(list);
		return true;
	default:
		return false;
	}
}

static void step_sideways(struct ma_model *model, bool right)
{
	if (model->layer == MA_LAYER_STACK) {
		const Memattach__LiveView *view = ma_model_view(model);
		if (right && view && model->stack + 1 < view->row_count)
			model->stack++;
		else if (!right && model->stack)
			model->stack--;
		model->frames = (struct ma_list){.page = model->frames.page};
		model->asks = true;
	} else if (model->tab == MA_TAB_TREE) {
		step_tree(model, right);
	} else if (model->tab == MA_TAB_TIME) {
		int cursor = model->time_cursor + (right ? -1 : 1);
		model->time_cursor = cursor < 0 ? 0 : cursor;
	}
}

static void go_back(struct ma_model *model, bool escape)
{
	if (model->layer != MA_LAYER_NONE) {
		model->layer = MA_LAYER_NONE;
		model->asks = true;
	} else if (model->tab == MA_TAB_FLAME && (model->root || !escape)) {
		ma_model_flame_key(model, escape ? MA_DO_ESCAPE : MA_DO_BACK);
	} else if (escape && model->filter[0]) {
		set_filter(model, "");
	} else if (escape && model->thread) {
		choose_thread(model, 0);
	} else if (escape) {
		model->time_cursor = 0;
		if (ma_model_list(model))
			ma_list_home(ma_model_list(model));
	}
}

/* What Enter does where something lies over the view. */
static void enter_layer(struct ma_model *model)
{
	size_t order[64];
	const Memattach__LiveView *view = ma_model_view(model);
	uint32_t rank = model->threads_list.rank;
	if (model->layer == MA_LAYER_THREADS) {
		size_t count = ma_model_threads(model, order);
		choose_thread(model, view && rank && rank - 1 < count
					     ? view->thread[order[rank - 1]]->thread
					     : 0);
	}
	model->layer = MA_LAYER_NONE;
	model->asks = true;
}

/* The row that is seen at that rank is meant, not the one that the next answer has there. */
static void hold_seen_row(const struct ma_model *model, struct ma_list *list)
{
	bool of_rows = model->layer == MA_LAYER_NONE &&
		       (model->tab == MA_TAB_LINES || model->tab == MA_TAB_TREE);
	const Memattach__LiveRow *row = of_rows ? picked_row(model) : NULL;
	if (row && list->held && !list->key)
		list->key = row->key;
}

static void show_threads(struct ma_model *model)
{
	model->layer = MA_LAYER_THREADS;
	model->threads_list = (struct ma_list){.page = model->threads_list.page};
	model->asks = true;
}

/* Closes the tree, but for the heaviest branch if that is wanted. */
static void close_all(struct ma_model *model, bool but_heaviest)
{
	model->open.count = 0;
	model->open_heaviest = but_heaviest;
	ma_list_home(&model->lists[MA_TAB_TREE]);
	model->asks = true;
}

static enum ma_wish obey(struct ma_model *model, enum ma_command_key command, uint64_t now_ms)
{
	struct ma_list *list = ma_model_list(model);
	if (list && model->layer != MA_LAYER_HELP && move(list, command)) {
		hold_seen_row(model, list);
		/* The page may reach beyond the rows that are here. */
		model->asks = true;
		return MA_WISH_NOTHING;
	}
	switch (command) {
	case MA_DO_LEFT:
	case MA_DO_RIGHT:
		if (model->tab == MA_TAB_FLAME && model->layer == MA_LAYER_NONE)
			ma_model_flame_key(model, command);
		else
			step_sideways(model, command == MA_DO_RIGHT);
		break;
	case MA_DO_ENTER:
		if (model->layer != MA_LAYER_NONE)
			enter_layer(model);
		else if (model->tab == MA_TAB_FLAME)
			ma_model_flame_key(model, command);
		else
			enter(model);
		break;
	case MA_DO_BACK:
	case MA_DO_ESCAPE:
		go_back(model, command == MA_DO_ESCAPE);
		break;
	case MA_DO_NEXT_VIEW:
	case MA_DO_PREVIOUS_VIEW:
		show_tab(model,
			 (model->tab + (command == MA_DO_NEXT_VIEW ? 1 : MA_TABS - 1)) % MA_TABS);
		break;
	case MA_DO_FILTER:
		begin_filter(model);
		break;
	case MA_DO_SORT:
		sort_next(model);
		break;
	case MA_DO_REVERSE:
		turn_order(model);
		break;
	case MA_DO_REFERENCE:
	case MA_DO_REFERENCE_ATTACH:
		set_reference(model, command == MA_DO_REFERENCE_ATTACH, now_ms);
		break;
	case MA_DO_FREEZE:
		freeze(model);
		break;
	case MA_DO_THREAD:
		show_threads(model);
		break;
	case MA_DO_OPEN_HEAVIEST:
	case MA_DO_CLOSE_ALL:
		close_all(model, command == MA_DO_OPEN_HEAVIEST);
		break;
	case MA_DO_NATIVE:
		switch_native(model, now_ms);
		break;
	case MA_DO_DUMP:
		begin_dump(model);
		break;
	case MA_DO_HELP:
		model->layer = MA_LAYER_HELP;
		break;
	case MA_DO_REDRAW:
		return MA_WISH_REDRAW;
	case MA_DO_QUIT:
		return MA_WISH_LEAVE;
	case MA_DO_DETACH:
		return MA_WISH_DETACH;
	default:
		if (command >= MA_DO_VIEW && command <= MA_DO_VIEW_LAST)
			show_tab(model, (enum ma_view_tab)(command - MA_DO_VIEW));
		else if (model->tab == MA_TAB_FLAME && model->layer == MA_LAYER_NONE)
			ma_model_flame_key(model, command);
		break;
	}
	return MA_WISH_NOTHING;
}

static void click_row(struct ma_model *model, uint32_t rank)
{
	struct ma_list *list = ma_model_list(model);
	bool again = list && list->rank == rank && list->held;
	const Memattach__LiveRow *row =
		model->layer == MA_LAYER_NONE ? ma_model_row(model, rank) : NULL;
	if (!list)
		return;
	ma_list_pick(list, rank, row && model->tab != MA_TAB_THREADS ? row->key : 0);
	model->asks = true;
	if (again && model->layer != MA_LAYER_STACK)
		obey(model, MA_DO_ENTER, 0);
}

static void click(struct ma_model *model, const struct ma_key *key)
{
	/* What was drawn last lies on top. */
	for (size_t i = model->hit_count; i > 0; i--) {
		const struct ma_hit *hit = &model->hits[i - 1];
		if (key->row < hit->row || key->row >= hit->row + hit->rows ||
		    key->column < hit->column || key->column >= hit->column + hit->columns)
			continue;
		switch (hit->kind) {
		case MA_HIT_TAB:
			show_tab(model, (enum ma_view_tab)hit->value);
			break;
		case MA_HIT_HEAD:
			if (model->sort == (Memattach__LiveQuery__Column)hit->value)
				turn_order(model);
			else
				sort_by(model, (Memattach__LiveQuery__Column)hit->value);
			break;
		case MA_HIT_ROW:
			click_row(model, (uint32_t)hit->value);
			break;
		case MA_HIT_CELL:
			if (model->cell == hit->value)
				ma_model_flame_key(model, MA_DO_ENTER);
			model->cell = hit->value;
			break;
		}
		return;
	}
}

static void turn_wheel(struct ma_model *model, int64_t rows)
{
	struct ma_list *list = ma_model_list(model);
	if (list)
		ma_list_scroll(list, rows);
	else
		model->flame_level = (uint32_t)(rows < 0 && model->flame_level < -rows
							? 0
							: model->flame_level + rows);
	model->asks = true;
}

enum ma_wish ma_model_key(struct ma_model *model, const struct ma_key *key, uint64_t now_ms)
{
	bool typing = model->layer == MA_LAYER_FILTER || model->layer == MA_LAYER_DUMP;
	switch (key->kind) {
	case MA_KEY_CLICK:
		if (model->layer == MA_LAYER_HELP) {
			model->layer = MA_LAYER_NONE;
			return MA_WISH_NOTHING;
		}
		if (!typing)
			click(model, key);
		return MA_WISH_NOTHING;
	case MA_KEY_WHEEL_UP:
	case MA_KEY_WHEEL_DOWN:
		turn_wheel(model, key->kind == MA_KEY_WHEEL_UP ? -WHEEL_ROWS : WHEEL_ROWS);
		return MA_WISH_NOTHING;
	default:
		break;
	}
	model->notice_until_ms = 0;
	if (typing)
		return type(model, key);
	enum ma_command_key command = ma_keys_command(key);
	if (model->layer == MA_LAYER_HELP && command != MA_DO_QUIT && command != MA_DO_DETACH) {
		model->layer = MA_LAYER_NONE;
		return MA_WISH_NOTHING;
	}
	return obey(model, command, now_ms);
}
