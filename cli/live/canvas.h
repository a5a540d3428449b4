/* SPDX-License-Identifier: MIT */
/*
 * Drawing on the screen: text in a role, cut to the columns that it may take. What is drawn becomes
 * visible with ma_canvas_show; ncurses then sends the terminal the difference.
 *
 * Text must be harmless (ma_display_escape). On an ASCII screen signs that it cannot show become
 * question marks.
 */
#ifndef MA_CLI_LIVE_CANVAS_H
#define MA_CLI_LIVE_CANVAS_H

#include <stdbool.h>

#include "cli/live/palette.h"

/* Begins a frame: everything is blank. */
void ma_canvas_begin(bool utf8);

/* Sends what changed. */
void ma_canvas_show(void);

/* Shows the cursor there, for typing; not called in a frame: it is hidden. */
void ma_canvas_cursor(int row, int column);

/* Draws text from (row, column) on, at most `columns` wide. Returns the columns it took. */
int ma_canvas_text(int row, int column, int columns, enum ma_role role, const char *text);

/* The same, printf-like. */
int ma_canvas_print(int row, int column, int columns, enum ma_role role, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* The same, ending at column + columns - 1. Text that is too wide is cut at its end. */
void ma_canvas_right(int row, int column, int columns, enum ma_role role, const char *text);

/* Blanks cells in the role's ground. */
void ma_canvas_fill(int row, int column, int columns, enum ma_role role);

/* Gives cells that are drawn already another role, for a row that is picked. */
void ma_canvas_recolor(int row, int column, int columns, enum ma_role role);

/* An empty box with a border and a title. */
void ma_canvas_box(int row, int column, int rows, int columns, const char *title);

#endif
