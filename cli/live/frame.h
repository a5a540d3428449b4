/* SPDX-License-Identifier: MIT */
/*
 * One frame of the live view on the screen: which row is for what, and what its parts draw. From
 * top to bottom: head, graphs, tabs, a banner when there is something to say, headings, body, last
 * row.
 */
#ifndef MA_CLI_LIVE_FRAME_H
#define MA_CLI_LIVE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/live/canvas.h"
#include "cli/live/model.h"
#include "cli/live/source.h"

enum { MA_HEAD_ROWS = 3 };

/* Rows of the screen; -1: not there. */
struct ma_layout {
	int graph_row, graph_rows;
	int tab_row;
	int banner_row;
	int heads_row;
	int body_row, body_rows;
	int last_row;
};

struct ma_frame {
	struct ma_model *model;
	struct ma_source *source;
	int rows, columns;
	bool utf8;
	uint64_t now_ms; /* CLOCK_MONOTONIC */
	uint64_t now_ns; /* CLOCK_REALTIME */
	struct ma_layout layout;
};

/* Signs that an ASCII screen has others for. */
enum ma_sign {
	MA_SIGN_PLUS_MINUS,
	MA_SIGN_CHANGE,
	MA_SIGN_DOWN,
	MA_SIGN_UP,
	MA_SIGN_OPEN,
	MA_SIGN_CLOSED,
	MA_SIGN_LEAF,
	MA_SIGN_RIGHT,
	MA_SIGN_BAR,
	MA_SIGN_NO_BAR,
	MA_SIGN_CURSOR,
	MA_SIGNS,
};
const char *ma_sign(const struct ma_frame *frame, enum ma_sign sign);

/* Where everything goes. Pure function. */
struct ma_layout ma_layout_make(int rows, bool banner);

/* Draws all of it, and tells the model how large the body is and what can be clicked. */
void ma_frame_draw(struct ma_frame *frame);

/* The parts. */
void ma_draw_head(struct ma_frame *frame);
void ma_draw_graphs(struct ma_frame *frame);
void ma_draw_rows(struct ma_frame *frame); /* sites and tree */
void ma_draw_flame(struct ma_frame *frame);
void ma_draw_threads(struct ma_frame *frame);
void ma_draw_time(struct ma_frame *frame);
void ma_draw_stack(struct ma_frame *frame);
void ma_draw_help(struct ma_frame *frame);
void ma_draw_thread_choice(struct ma_frame *frame);

/* columns.c: the figures in front of a row. */

/* Draws the headings; returns the column where names begin. */
int ma_columns_heads(struct ma_frame *frame);
/* Draws a row's figures; returns the same. */
int ma_columns_row(struct ma_frame *frame, int row, const Memattach__LiveRow *values);
/* Draws the heading of a text column, which may be sorted by and clicked. */
void ma_columns_text_head(struct ma_frame *frame, int column, int columns, const char *title,
			  Memattach__LiveQuery__Column sort);

/* What stands for the place of a function: its file, else the name of the object that it is in. */
const char *ma_live_file(const char *file, const char *module);

/* "app/cache.py:88", escaped, cut at its beginning. Returns the columns it took. */
int ma_draw_place(struct ma_frame *frame, int row, int column, int columns, const char *file,
		  int32_t line);
/* An escaped name, cut at its end. */
int ma_draw_name(struct ma_frame *frame, int row, int column, int columns, enum ma_role role,
		 const char *name);

#endif
