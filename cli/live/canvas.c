/* SPDX-License-Identifier: MIT */
/* Drawing by ncurses; see canvas.h. */
#include "cli/live/canvas.h"

#include <ncurses.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wchar.h>

#include "cli/display.h"
#include "cli/width.h"

enum { CELL_SIGNS = 5 }; /* a sign and what combines with it, as ncurses stores them */

static bool utf8_screen;
static int cursor_row, cursor_column;

void ma_canvas_begin(bool utf8)
{
	utf8_screen = utf8;
	cursor_row = -1;
	erase();
}

void ma_canvas_show(void)
{
	if (cursor_row >= 0)
		move(cursor_row, cursor_column);
	curs_set(cursor_row >= 0);
	refresh();
}

void ma_canvas_cursor(int row, int column)
{
	cursor_row = row;
	cursor_column = column;
}

static void put_cell(int row, int column, enum ma_role role, const wchar_t *signs)
{
	cchar_t cell;
	unsigned attributes;
	int pair;
	ma_palette_look(role, &attributes, &pair);
	if (setcchar(&cell, signs, attributes, (short)pair, NULL) == OK)
		mvadd_wch(row, column, &cell);
}

/* Reads one sign and those that combine with it; returns its columns. A text that begins with a
 * combining sign gets a blank to combine with. */
static int next_cell(const char **text, wchar_t signs[CELL_SIGNS + 1])
{
	int count = 0, columns = 1;
	uint32_t c;
	const char *at = *text;
	memset(signs, 0, (CELL_SIGNS + 1) * sizeof *signs);
	ma_display_decode(&at, &c);
	if (ma_width_of(c) == 0) {
		signs[count++] = L' ';
	} else {
		columns = (int)ma_width_of(c);
		signs[count++] = (wchar_t)c;
		*text = at;
	}
	while (*at) {
		ma_display_decode(&at, &c);
		if (ma_width_of(c) != 0)
			break;
		if (count < CELL_SIGNS)
			signs[count++] = (wchar_t)c;
		*text = at;
	}
	if (!utf8_screen && (signs[0] > 0x7e || signs[1])) {
		memset(signs, 0, (CELL_SIGNS + 1) * sizeof *signs);
		signs[0] = L'?';
		columns = 1;
	}
	return columns;
}

int ma_canvas_text(int row, int column, int columns, enum ma_role role, const char *text)
{
	int taken = 0;
	while (*text) {
		wchar_t signs[CELL_SIGNS + 1];
		int width = next_cell(&text, signs);
		if (taken + width > columns)
			break;
		put_cell(row, column + taken, role, signs);
		taken += width;
	}
	return taken;
}

int ma_canvas_print(int row, int column, int columns, enum ma_role role, const char *format, ...)
{
	char text[1024];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	return ma_canvas_text(row, column, columns, role, text);
}

void ma_canvas_right(int row, int column, int columns, enum ma_role role, const char *text)
{
	int wanted = (int)ma_display_columns(text);
	int gap = wanted < columns ? columns - wanted : 0;
	ma_canvas_text(row, column + gap, columns - gap, role, text);
}

void ma_canvas_fill(int row, int column, int columns, enum ma_role role)
{
	for (int i = 0; i < columns; i++)
		put_cell(row, column + i, role, L" ");
}

void ma_canvas_recolor(int row, int column, int columns, enum ma_role role)
{
	unsigned attributes;
	int pair;
	ma_palette_look(role, &attributes, &pair);
	mvchgat(row, column, columns, attributes, (short)pair, NULL);
}

void ma_canvas_box(int row, int column, int rows, int columns, const char *title)
{
	static const char *const pieces[2][6] = {
		{"+", "+", "+", "+", "-", "|"},
		{"\u250c", "\u2510", "\u2514", "\u2518", "\u2500", "\u2502"}};
	const char *const *piece = pieces[utf8_screen];
	for (int y = 0; y < rows; y++) {
		bool edge = y == 0 || y == rows - 1;
		ma_canvas_fill(row + y, column, columns, MA_ROLE_PLAIN);
		for (int x = 1; edge && x < columns - 1; x++)
			ma_canvas_text(row + y, column + x, 1, MA_ROLE_FRAME, piece[4]);
		const char *left = edge ? piece[y ? 2 : 0] : piece[5];
		const char *right = edge ? piece[y ? 3 : 1] : piece[5];
		ma_canvas_text(row + y, column, 1, MA_ROLE_FRAME, left);
		ma_canvas_text(row + y, column + columns - 1, 1, MA_ROLE_FRAME, right);
	}
	ma_canvas_print(row, column + 2, columns - 4, MA_ROLE_STRONG, " %s ", title);
}
