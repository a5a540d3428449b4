/* SPDX-License-Identifier: MIT */
/* State, questions and answers; keys are in model_keys.c. See model.h. */
#include "cli/live/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc.h"
#include "cli/live/model_keys.h"

void ma_model_init(struct ma_model *model, pid_t pid, bool native)
{
	*model = (struct ma_model){
		.pid = pid,
		.native = native,
		.open_heaviest = true,
		/* Changes count from the moment when somebody began to look. */
		.mark_reference = true,
		.asks = true,
	};
}

static void free_reply(Memattach__Reply *reply)
{
	if (reply)
		memattach__reply__free_unpacked(reply, NULL);
}

void ma_model_fini(struct ma_model *model)
{
	free_reply(model->reply);
	free_reply(model->frozen_reply);
	free(model->open.keys);
}

const Memattach__LiveView *ma_model_view(const struct ma_model *model)
{
	return model->reply ? model->reply->live : NULL;
}

const Memattach__LiveView *ma_model_head(const struct ma_model *model)
{
	return model->frozen_reply ? model->frozen_reply->live : ma_model_view(model);
}

bool ma_model_has_ended(const struct ma_model *model)
{
	const Memattach__LiveView *view = ma_model_view(model);
	return view && view->session && view->session->state != MEMATTACH__SESSION__STATE__TRACKING;
}

const Memattach__LiveRow *ma_model_row(const struct ma_model *model, uint32_t rank)
{
	const Memattach__LiveView *view = ma_model_view(model);
	if (!view || rank < model->rows_first || rank - model->rows_first >= view->n_row)
		return NULL;
	return view->row[rank - model->rows_first];
}

double ma_model_column(const Memattach__LiveRow *row, Memattach__LiveQuery__Column column)
{
	switch (column) {
	case MEMATTACH__LIVE_QUERY__COLUMN__LIVE:
		return row->live_bytes;
	case MEMATTACH__LIVE_QUERY__COLUMN__DELTA:
		return row->delta_bytes;
	case MEMATTACH__LIVE_QUERY__COLUMN__HELD:
		return row->held_bytes;
	case MEMATTACH__LIVE_QUERY__COLUMN__PEAK:
		return row->peak_bytes;
	case MEMATTACH__LIVE_QUERY__COLUMN__RATE:
		return row->rate;
	case MEMATTACH__LIVE_QUERY__COLUMN__COUNT:
		return row->live_count;
	default:
		return 0;
	}
}

/* Does thread a stand before b? */
static bool thread_before(const struct ma_model *model, const Memattach__LiveThread *a,
			  const Memattach__LiveThread *b)
{
	if (model->sort >= MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION) {
		int order = strcmp(a->name, b->name);
		if (order)
			return model->ascending ? order > 0 : order < 0;
		return a->thread < b->thread;
	}
	double x = ma_model_column(a->values, model->sort);
	double y = ma_model_column(b->values, model->sort);
	if (x != y)
		return model->ascending ? x < y : x > y;
	return a->thread < b->thread;
}

size_t ma_model_threads(const struct ma_model *model, size_t order[64])
{
	const Memattach__LiveView *view = ma_model_view(model);
	size_t count = 0;
	for (size_t i = 0; view && i < view->n_thread && i < 64; i++) {
		size_t at = count++;
		for (; at > 0 && thread_before(model, view->thread[i], view->thread[order[at - 1]]);
		     at--)
			order[at] = order[at - 1];
		order[at] = i;
	}
	return count;
}

static Memattach__LiveQuery__View wanted_view(const struct ma_model *model)
{
	static const Memattach__LiveQuery__View views[MA_TABS] = {
		[MA_TAB_LINES] = MEMATTACH__LIVE_QUERY__VIEW__LINES,
		[MA_TAB_TREE] = MEMATTACH__LIVE_QUERY__VIEW__TREE,
		[MA_TAB_FLAME] = MEMATTACH__LIVE_QUERY__VIEW__FLAME,
		[MA_TAB_THREADS] = MEMATTACH__LIVE_QUERY__VIEW__THREADS,
		[MA_TAB_TIME] = MEMATTACH__LIVE_QUERY__VIEW__HEAD,
	};
	return model->layer == MA_LAYER_STACK ? MEMATTACH__LIVE_QUERY__VIEW__STACKS
					      : views[model->tab];
}

bool ma_model_is_current(const struct ma_model *model)
{
	return model->reply && model->answered == wanted_view(model) &&
	       (model->layer != MA_LAYER_STACK || model->answered_key == model->line_key);
}

bool ma_model_is_settled(const struct ma_model *model)
{
	bool typing = model->layer == MA_LAYER_FILTER || model->layer == MA_LAYER_DUMP;
	return typing || (ma_model_is_current(model) && model->answered_wishes == model->wishes);
}

struct ma_list *ma_model_list(struct ma_model *model)
{
	if (model->layer == MA_LAYER_STACK)
		return &model->frames;
	if (model->layer == MA_LAYER_THREADS)
		return &model->threads_list;
	return model->tab == MA_TAB_FLAME ? NULL : &model->lists[model->tab];
}

void ma_model_resize(struct ma_model *model, int page_rows, int columns)
{
	if (model->page_rows == page_rows && model->columns == columns)
		return;
	model->page_rows = page_rows;
	model->columns = columns;
	for (int i = 0; i < MA_TABS; i++)
		model->lists[i].page = (uint32_t)page_rows;
	model->asks = true;
}

void ma_key_set_put(struct ma_key_set *set, uint64_t key, bool in)
{
	size_t at = 0;
	while (at < set->count && set->keys[at] < key)
		at++;
	bool there = at < set->count && set->keys[at] == key;
	if (there == in)
		return;
	if (in) {
		if (set->count == set->room) {
			set->room = set->room ? set->room * 2 : 64;
			set->keys = ma_alloc_grow(set->keys, set->room, sizeof *set->keys);
		}
		memmove(set->keys + at + 1, set->keys + at, (set->count - at) * sizeof *set->keys);
		set->keys[at] = key;
		set->count++;
	} else {
		memmove(set->keys + at, set->keys + at + 1,
			(set->count - at - 1) * sizeof *set->keys);
		set->count--;
	}
}

void ma_model_notice(struct ma_model *model, uint64_t now_ms, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	vsnprintf(model->notice, sizeof model->notice, format, ap);
	va_end(ap);
	model->notice_until_ms = now_ms + MA_NOTICE_MS;
}

void ma_model_gone(struct ma_model *model, const char *reason)
{
	snprintf(model->gone, sizeof model->gone, "%s", reason ? reason : "");
}

void ma_model_hit(struct ma_model *model, struct ma_hit hit)
{
	if (model->hit_count < MA_HITS)
		model->hits[model->hit_count++] = hit;
}

static void ask_rows(struct ma_model *model, Memattach__LiveQuery *query)
{
	struct ma_list *list = &model->lists[model->tab];
	uint32_t offset, limit;
	switch (query->view) {
	case MEMATTACH__LIVE_QUERY__VIEW__LINES:
	case MEMATTACH__LIVE_QUERY__VIEW__TREE:
		ma_list_wanted(list, &offset, &limit);
		query->offset = offset;
		query->limit = limit;
		query->selected = list->held ? list->key : 0;
		break;
	case MEMATTACH__LIVE_QUERY__VIEW__FLAME:
		query->offset = model->flame_level;
		query->limit = (uint32_t)model->page_rows;
		query->columns = (uint32_t)model->columns;
		query->root = model->root;
		break;
	case MEMATTACH__LIVE_QUERY__VIEW__STACKS:
		query->key = model->line_key;
		query->offset = model->stack;
		query->limit = 1;
		break;
	default:
		break;
	}
}

void ma_model_ask(struct ma_model *model, Memattach__LiveQuery *query)
{
	*query = (Memattach__LiveQuery)MEMATTACH__LIVE_QUERY__INIT;
	query->pid = model->pid;
	query->view = wanted_view(model);
	query->sort = model->sort;
	query->ascending = model->ascending;
	query->filter = model->filter;
	query->thread = model->thread;
	query->native = model->native;
	query->mark = model->mark_reference || model->mark_frozen;
	query->reference = model->reference;
	query->shown = model->shown;
	query->open = model->open.keys;
	query->n_open = model->open.count;
	query->open_heaviest = model->open_heaviest;
	ask_rows(model, query);
	model->asked = model->wishes;
	model->asks = false;
}

/* Keys mean something else now: what was remembered by key is forgotten. */
static void forget_keys(struct ma_model *model)
{
	for (int i = 0; i < MA_TABS; i++)
		ma_list_home(&model->lists[i]);
	model->open.count = 0;
	model->open_heaviest = true;
	model->root = model->cell = 0;
	model->flame_level = 0;
	if (model->layer == MA_LAYER_STACK)
		model->layer = MA_LAYER_NONE;
	model->asks = true;
}

static void take_moments(struct ma_model *model, const Memattach__LiveView *view,
			 const Memattach__LiveQuery *query, uint64_t now_ms)
{
	if (query->mark && view->mark) {
		if (model->mark_reference)
			model->reference = view->mark;
		if (model->mark_frozen)
			model->shown = view->mark;
		model->mark_reference = model->mark_frozen = false;
		model->asks = true;
		return;
	}
	if (query->reference && query->reference == model->reference && !view->reference) {
		model->reference = 0;
		ma_model_notice(model, now_ms,
				"the reference point is not kept any more: changes count from the "
				"attach");
	}
	if (query->shown && query->shown == model->shown && !view->shown) {
		ma_model_thaw(model);
		ma_model_notice(model, now_ms, "what was frozen is not kept any more: this is now");
	}
}

/* The frames of a stack, and rows of threads, are all there. */
static void take_local(struct ma_list *list, uint32_t count, uint32_t page)
{
	list->count = count;
	list->page = page;
	if (list->rank >= count)
		ma_list_pick(list, count ? count - 1 : 0, 0);
	ma_list_scroll(list, 0);
}

static void take_rows(struct ma_model *model, const Memattach__LiveView *view,
		      const Memattach__LiveQuery *query)
{
	struct ma_list *list = &model->lists[model->tab];
	uint64_t *keys = ma_alloc(view->n_row + 1, sizeof *keys);
	for (size_t i = 0; i < view->n_row; i++)
		keys[i] = view->row[i]->key;
	const struct ma_list_answer answer = {query->offset, (uint32_t)view->n_row, view->row_count,
					      view->selected_rank, keys};
	if (ma_list_take(list, &answer, query->selected))
		model->asks = true;
	free(keys);
	/* What was opened unasked stays open from now on, until somebody closes it. */
	if (query->view == MEMATTACH__LIVE_QUERY__VIEW__TREE && query->open_heaviest &&
	    view->indexed >= 1) {
		for (size_t i = 0; i < view->n_row; i++)
			if (view->row[i]->open)
				ma_key_set_put(&model->open, view->row[i]->key, true);
		model->open_heaviest = view->n_row == 0;
	}
}

static void take_threads(struct ma_model *model, const Memattach__LiveView *view)
{
	struct ma_list *list = &model->lists[MA_TAB_THREADS];
	size_t order[64], count = ma_model_threads(model, order);
	uint64_t keys[64];
	uint32_t selected = 0;
	for (size_t i = 0; i < count; i++) {
		keys[i] = view->thread[order[i]]->thread;
		if (keys[i] == list->key)
			selected = (uint32_t)i + 1;
	}
	const struct ma_list_answer answer = {0, (uint32_t)count, (uint32_t)count, selected, keys};
	ma_list_take(list, &answer, list->key);
}

/* The frames of a stack. At first its innermost line of Python is picked, whose source there is. */
static void take_frames(struct ma_model *model, const Memattach__LiveView *view)
{
	bool first = model->frames.count == 0;
	const Memattach__LiveRow *stack = view->n_row ? view->row[0] : NULL;
	uint32_t python = 0;
	take_local(&model->frames, stack ? (uint32_t)stack->n_frame : 0, model->frames.page);
	if (!first || !stack)
		return;
	while (python < stack->n_frame && stack->frame[python]->module[0])
		python++;
	if (python && python < stack->n_frame)
		ma_list_pick(&model->frames, python, 0);
}

static void take_view(struct ma_model *model, const Memattach__LiveView *view,
		      const Memattach__LiveQuery *query)
{
	switch (query->view) {
	case MEMATTACH__LIVE_QUERY__VIEW__LINES:
	case MEMATTACH__LIVE_QUERY__VIEW__TREE:
		take_rows(model, view, query);
		break;
	case MEMATTACH__LIVE_QUERY__VIEW__STACKS:
		if (model->stack >= view->row_count && model->stack) {
			model->stack = view->row_count ? view->row_count - 1 : 0;
			model->asks = true;
		}
		take_frames(model, view);
		break;
	case MEMATTACH__LIVE_QUERY__VIEW__THREADS:
		take_threads(model, view);
		break;
	default:
		break;
	}
	if (model->layer == MA_LAYER_THREADS)
		take_local(&model->threads_list, (uint32_t)view->n_thread + 1,
			   model->threads_list.page);
}

void ma_model_answer(struct ma_model *model, Memattach__Reply *reply,
		     const Memattach__LiveQuery *query, uint64_t now_ms)
{
	const Memattach__LiveView *view = reply->live;
	bool froze = query->mark && model->mark_frozen && view->mark;
	free_reply(model->reply);
	model->reply = reply;
	model->answered = query->view;
	model->answered_key = query->key;
	model->answered_wishes = model->asked;
	model->rows_first = query->offset;
	model->gone[0] = '\0';
	if (model->index && view->index != model->index)
		forget_keys(model);
	model->index = view->index;
	take_moments(model, view, query, now_ms);
	if (froze && model->frozen) {
		/* The head stays as it is now; its own copy, because the next answer frees this. */
		size_t bytes = memattach__reply__get_packed_size(reply);
		uint8_t *packed = ma_alloc(bytes, 1);
		memattach__reply__pack(reply, packed);
		free_reply(model->frozen_reply);
		model->frozen_reply = memattach__reply__unpack(NULL, bytes, packed);
		free(packed);
	}
	if (ma_model_is_current(model))
		take_view(model, view, query);
	else
		model->asks = true;
	if (view->indexed < 1)
		model->asks = true;
}

void ma_model_thaw(struct ma_model *model)
{
	free_reply(model->frozen_reply);
	model->frozen_reply = NULL;
	model->frozen = false;
	model->mark_frozen = false;
	model->shown = 0;
	model->asks = true;
}
