/* SPDX-License-Identifier: MIT */
/* The figures in front of a row: one table says which, how wide, and from which width of the screen
 * on. */
#include <math.h>
#include <stdio.h>

#include "cli/display.h"
#include "cli/live/compact.h"
#include "cli/live/estimates.h"
#include "cli/live/frame.h"

/* What a figure is. INTERVAL is no column that can be sorted by. */
enum { INTERVAL = -1 };

static const struct {
	int column; /* Memattach__LiveQuery__Column, or INTERVAL */
	int columns;
	int from; /* columns of the screen that it is shown from */
	const char *title;
} figures[] = {
	{MEMATTACH__LIVE_QUERY__COLUMN__LIVE, 8, 0, "LIVE"},
	{INTERVAL, 7, 0, "95%"},
	{MEMATTACH__LIVE_QUERY__COLUMN__DELTA, 9, 0, NULL},
	{MEMATTACH__LIVE_QUERY__COLUMN__HELD, 8, 92, "HELD"},
	{MEMATTACH__LIVE_QUERY__COLUMN__PEAK, 8, 66, "PEAK"},
	{MEMATTACH__LIVE_QUERY__COLUMN__RATE, 8, 84, "RATE/s"},
	{MEMATTACH__LIVE_QUERY__COLUMN__COUNT, 7, 76, "COUNT"},
};

enum { FIGURES = sizeof figures / sizeof figures[0] };

/* A change of this part of everything is worth a colour. */
#define LARGE_CHANGE 0.02

/* "Δ14:05", or since the attach. */
static void change_title(const struct ma_frame *frame, char *title, size_t room)
{
	const Memattach__LiveView *view = ma_model_view(frame->model);
	const char *sign = ma_sign(frame, MA_SIGN_CHANGE);
	if (view && view->reference)
		snprintf(title, room, "%s%s", sign,
			 ma_compact_clock(view->reference_time_nanos, false).text);
	else
		snprintf(title, room, "%sattach", sign);
}

static void draw_head(struct ma_frame *frame, int column, int columns, const char *title, int sort,
		      bool left)
{
	struct ma_model *model = frame->model;
	bool sorted = sort != INTERVAL && (int)model->sort == sort;
	bool up = sorted && model->ascending;
	char text[64];
	snprintf(text, sizeof text, "%s%s", title,
		 sorted ? ma_sign(frame, up ? MA_SIGN_UP : MA_SIGN_DOWN) : "");
	enum ma_role role = sorted ? MA_ROLE_SORTED : MA_ROLE_HEADS;
	int row = frame->layout.heads_row;
	if (left)
		ma_canvas_text(row, column, columns, role, text);
	else
		ma_canvas_right(row, column, columns, role, text);
	if (sort != INTERVAL)
		ma_model_hit(model,
			     (struct ma_hit){row, column, 1, columns, MA_HIT_HEAD, (uint64_t)sort});
}

void ma_columns_text_head(struct ma_frame *frame, int column, int columns, const char *title,
			  Memattach__LiveQuery__Column sort)
{
	draw_head(frame, column, columns, title, (int)sort, true);
}

int ma_columns_heads(struct ma_frame *frame)
{
	int at = 0;
	for (int i = 0; i < FIGURES; i++) {
		char title[32];
		if (frame->columns < figures[i].from)
			continue;
		if (figures[i].column == INTERVAL)
			snprintf(title, sizeof title, "%s%s", ma_sign(frame, MA_SIGN_PLUS_MINUS),
				 figures[i].title);
		else if (figures[i].title)
			snprintf(title, sizeof title, "%s", figures[i].title);
		else
			change_title(frame, title, sizeof title);
		draw_head(frame, at, figures[i].columns, title, figures[i].column, false);
		at += figures[i].columns;
	}
	return at + 2;
}

static enum ma_role change_role(const struct ma_frame *frame, double change)
{
	const Memattach__LiveView *view = ma_model_view(frame->model);
	double whole = view && view->totals ? view->totals->live_bytes : 0;
	if (!(fabs(change) > LARGE_CHANGE * whole))
		return MA_ROLE_PLAIN;
	return change > 0 ? MA_ROLE_WARN : MA_ROLE_GOOD;
}

static struct ma_figure figure_of(const Memattach__LiveRow *values, int column)
{
	struct ma_estimate estimate;
	switch (column) {
	case INTERVAL:
		estimate = ma_live_row_estimate(values);
		return ma_compact_size(ma_interval_plus_minus(&estimate));
	case MEMATTACH__LIVE_QUERY__COLUMN__DELTA:
		return ma_compact_change(values->delta_bytes);
	case MEMATTACH__LIVE_QUERY__COLUMN__COUNT:
		return ma_compact_count(values->live_count);
	default:
		return ma_compact_size(
			ma_model_column(values, (Memattach__LiveQuery__Column)column));
	}
}

int ma_columns_row(struct ma_frame *frame, int row, const Memattach__LiveRow *values)
{
	int at = 0;
	for (int i = 0; i < FIGURES; i++) {
		int column = figures[i].column;
		if (frame->columns < figures[i].from)
			continue;
		enum ma_role role = MA_ROLE_PLAIN;
		if (column == MEMATTACH__LIVE_QUERY__COLUMN__DELTA)
			role = change_role(frame, values->delta_bytes);
		else if (column == MEMATTACH__LIVE_QUERY__COLUMN__LIVE)
			role = MA_ROLE_STRONG;
		else if (column == INTERVAL)
			role = MA_ROLE_FAINT;
		ma_canvas_right(row, at, figures[i].columns, role, figure_of(values, column).text);
		at += figures[i].columns;
	}
	return at + 2;
}
