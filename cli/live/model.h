/* SPDX-License-Identifier: MIT */
/*
 * The state of the live view: what is shown of what, and how keys, clicks and answers change it.
 * It knows neither terminal nor daemon: keys go in, questions come out, answers go in, and the
 * views (cli/live/views.h) draw what it holds.
 */
#ifndef MA_CLI_LIVE_MODEL_H
#define MA_CLI_LIVE_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/live/edit.h"
#include "cli/live/keys.h"
#include "cli/live/list.h"
#include "proto/control.pb-c.h"

enum ma_view_tab { MA_TAB_LINES, MA_TAB_TREE, MA_TAB_FLAME, MA_TAB_THREADS, MA_TAB_TIME, MA_TABS };

/* What lies over the view. */
enum ma_layer {
	MA_LAYER_NONE,
	MA_LAYER_STACK, /* the stacks of a line, with source */
	MA_LAYER_HELP,
	MA_LAYER_THREADS, /* choosing one */
	MA_LAYER_FILTER,  /* typing it */
	MA_LAYER_DUMP,    /* typing the name of the file */
};

/* What a place on the screen does when it is clicked. */
enum ma_hit_kind {
	MA_HIT_TAB,  /* value: the tab */
	MA_HIT_HEAD, /* value: the column */
	MA_HIT_ROW,  /* value: the rank */
	MA_HIT_CELL, /* value: key of a flame's cell */
};

struct ma_hit {
	int row, column, rows, columns;
	enum ma_hit_kind kind;
	uint64_t value;
};

enum { MA_HITS = 1024, MA_NOTICE_BYTES = 240, MA_NOTICE_MS = 6000 };

/* What the loop is to do after a key. */
enum ma_wish { MA_WISH_NOTHING, MA_WISH_LEAVE, MA_WISH_DETACH, MA_WISH_DUMP, MA_WISH_REDRAW };

/* A set of keys, sorted. */
struct ma_key_set {
	uint64_t *keys; /* owned */
	size_t count, room;
};

struct ma_model {
	pid_t pid;
	enum ma_view_tab tab;
	enum ma_layer layer;
	Memattach__LiveQuery__Column sort;
	bool ascending;
	char filter[MA_EDIT_BYTES];        /* in force */
	char filter_before[MA_EDIT_BYTES]; /* what Escape goes back to */
	const char *filter_error;          /* of what is being typed; a literal */
	struct ma_edit edit;
	uint32_t thread; /* slot + 1; 0: all */
	struct ma_list lists[MA_TABS];
	struct ma_list threads_list; /* of the layer */
	int page_rows;               /* of the body, by the last layout */
	int columns;

	bool native; /* frames too, not Python's alone */

	/* tree and flame */
	struct ma_key_set open;
	bool open_heaviest;
	uint64_t root;        /* flame: what is zoomed to */
	uint64_t cell;        /* flame: what is picked */
	uint32_t flame_level; /* first level on the screen */

	/* the stacks of a line */
	uint64_t line_key;
	uint32_t stack; /* which one */
	struct ma_list frames;

	/* timeline */
	int time_cursor; /* columns from the right end */

	/* moments */
	bool mark_reference; /* with the next question */
	bool mark_frozen;
	uint64_t reference;
	uint64_t shown; /* 0: now */
	bool frozen;

	/* answers */
	Memattach__Reply *reply;        /* the latest; owned; NULL: none yet */
	Memattach__Reply *frozen_reply; /* what the head shows while frozen; owned */
	uint64_t index;
	Memattach__LiveQuery__View answered; /* what the latest one's rows are */
	uint64_t answered_key;
	uint32_t rows_first;        /* rank of its first row */
	char gone[MA_NOTICE_BYTES]; /* why there are no answers any more; "" while there are */

	bool asks;                /* there is a reason for a question now */
	unsigned wishes;          /* changes of what is to be shown; counts up */
	unsigned asked;           /* of them, in the question that is under way */
	unsigned answered_wishes; /* in the latest answer */
	char notice[MA_NOTICE_BYTES];
	uint64_t notice_until_ms;
	struct ma_hit hits[MA_HITS];
	size_t hit_count;
};

/* native: begins with native frames. */
void ma_model_init(struct ma_model *model, pid_t pid, bool native);
void ma_model_fini(struct ma_model *model);

/* The latest answer, and that of the head (another one while frozen); NULL: none yet. */
const Memattach__LiveView *ma_model_view(const struct ma_model *model);
const Memattach__LiveView *ma_model_head(const struct ma_model *model);

/* The row of that rank, as far as it is known; NULL: it is not. */
const Memattach__LiveRow *ma_model_row(const struct ma_model *model, uint32_t rank);

/* The threads of the latest answer in the order that is wanted: indexes into view->thread. Returns
 * how many. */
size_t ma_model_threads(const struct ma_model *model, size_t order[64]);

/* What a column shows of a row; texts have none: 0. */
double ma_model_column(const Memattach__LiveRow *row, Memattach__LiveQuery__Column column);

/* Are the rows of the latest answer those that the screen is to show? */
bool ma_model_is_current(const struct ma_model *model);

/* And do they have the filter, order and thread that are wanted? Else other rows will come at once,
 * and those are what the next key is about. */
bool ma_model_is_settled(const struct ma_model *model);

/* The list that keys move in; NULL: there is none (flame). */
struct ma_list *ma_model_list(struct ma_model *model);

/* How large the body is now. */
void ma_model_resize(struct ma_model *model, int page_rows, int columns);

/* Takes a key. now_ms: CLOCK_MONOTONIC. */
enum ma_wish ma_model_key(struct ma_model *model, const struct ma_key *key, uint64_t now_ms);

/* Fills the question for what is to be shown; pointers in it are the model's. */
void ma_model_ask(struct ma_model *model, Memattach__LiveQuery *query);

/* Takes an answer (the reply is taken) to a question as it was asked. */
void ma_model_answer(struct ma_model *model, Memattach__Reply *reply,
		     const Memattach__LiveQuery *query, uint64_t now_ms);

/* There will be no more answers, for that reason; or there are again (NULL). */
void ma_model_gone(struct ma_model *model, const char *reason);

/* Says something in the last row for some seconds. */
void ma_model_notice(struct ma_model *model, uint64_t now_ms, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Notes what a place on the screen does. */
void ma_model_hit(struct ma_model *model, struct ma_hit hit);

/* Has the process ended (or been lost, or detached from)? */
bool ma_model_has_ended(const struct ma_model *model);

#endif
