/* SPDX-License-Identifier: MIT */
/* The timeline: resident memory with its limit, live heap and allocation rate since the attach, one
 * above the other, and the figures of a moment. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/alloc.h"
#include "cli/live/compact.h"
#include "cli/live/frame.h"
#include "cli/live/graph.h"

enum curve { CURVE_RSS, CURVE_LIVE, CURVE_RATE, CURVES };

enum { LABEL_COLUMNS = 8 };

static const struct {
	const char *name;
	enum ma_role role;
} curves[CURVES] = {
	[CURVE_RSS] = {"RSS", MA_ROLE_RSS},
	[CURVE_LIVE] = {"live", MA_ROLE_LIVE},
	[CURVE_RATE] = {"alloc/s", MA_ROLE_RATE},
};

static double rate_at(const Memattach__LiveView *head, size_t index)
{
	const Memattach__TimelinePoint *point = head->timeline[index];
	uint64_t before_ns =
		index ? head->timeline[index - 1]->time_nanos : head->session->attach_time_nanos;
	double before = index ? head->timeline[index - 1]->allocated_bytes : 0;
	double seconds =
		point->time_nanos > before_ns ? (double)(point->time_nanos - before_ns) / 1e9 : 0;
	return seconds > 0 ? (point->allocated_bytes - before) / seconds : 0;
}

static double value_at(const Memattach__LiveView *head, size_t index, enum curve curve)
{
	const Memattach__TimelinePoint *point = head->timeline[index];
	switch (curve) {
	case CURVE_RSS:
		return (double)point->rss_bytes;
	case CURVE_LIVE:
		return point->live_bytes_max;
	default:
		return rate_at(head, index);
	}
}

static void draw_curve(struct ma_frame *frame, const Memattach__LiveView *head, enum curve curve,
		       int top, int rows, int columns)
{
	size_t count = head->n_timeline, halves = 2 * (size_t)columns;
	struct ma_graph_point *points = ma_alloc(count, sizeof *points);
	double *values = ma_alloc(halves, sizeof *values);
	for (size_t i = 0; i < count; i++)
		points[i] = (struct ma_graph_point){head->timeline[i]->time_nanos,
						    value_at(head, i, curve)};
	ma_graph_sample(values, halves, points, count, head->session->attach_time_nanos,
			points[count - 1].time_ns);
	double most = ma_graph_ceiling(ma_graph_most(values, halves));
	/* A limit that is near belongs into the picture. */
	uint64_t limit = head->memory ? head->memory->cgroup_limit_bytes : 0;
	int limit_row = -1;
	if (curve == CURVE_RSS && limit && (double)limit < 4 * most) {
		most = most > (double)limit ? most : (double)limit;
		limit_row = rows - 1 - (int)floor((double)limit / most * (rows - 1) + 0.5);
	}
	for (int row = 0; row < rows; row++) {
		struct ma_text text = {0};
		if (row == limit_row) {
			ma_text_repeat(&text, '-', (size_t)columns);
			ma_canvas_text(top + row, LABEL_COLUMNS, columns, MA_ROLE_BAD,
				       ma_text_string(&text));
			ma_text_fini(&text);
			text = (struct ma_text){0};
		}
		ma_graph_dots(&text, values, (size_t)columns, (unsigned)row, (unsigned)rows, most,
			      frame->utf8);
		/* Blanks must not wipe the limit out. */
		if (row != limit_row)
			ma_canvas_text(top + row, LABEL_COLUMNS, columns, curves[curve].role,
				       ma_text_string(&text));
		ma_text_fini(&text);
	}
	ma_canvas_text(top, 0, LABEL_COLUMNS - 1, curves[curve].role, curves[curve].name);
	if (rows > 1)
		ma_canvas_right(top + 1, 0, LABEL_COLUMNS - 1, MA_ROLE_FAINT,
				ma_compact_size(most).text);
	if (limit_row == 0)
		ma_canvas_text(top, LABEL_COLUMNS, columns, MA_ROLE_BAD, "limit ");
	free(points);
	free(values);
}

/* The point that is shown in a column. */
static size_t point_in(const Memattach__LiveView *head, int column, int columns)
{
	uint64_t from_ns = head->session->attach_time_nanos;
	uint64_t to_ns = head->timeline[head->n_timeline - 1]->time_nanos;
	double share = ((double)column + 1) / columns;
	uint64_t until_ns = from_ns + (uint64_t)(share * (double)(to_ns - from_ns));
	size_t at = 0;
	while (at + 1 < head->n_timeline && head->timeline[at]->time_nanos < until_ns)
		at++;
	return at;
}

static void draw_moment(struct ma_frame *frame, const Memattach__LiveView *head, int columns)
{
	struct ma_model *model = frame->model;
	const struct ma_layout *layout = &frame->layout;
	if (model->time_cursor >= columns)
		model->time_cursor = columns - 1;
	int column = columns - 1 - model->time_cursor;
	size_t at = point_in(head, column, columns);
	const Memattach__TimelinePoint *point = head->timeline[at];
	ma_canvas_print(layout->heads_row, 1, frame->columns - 2,
			model->time_cursor ? MA_ROLE_STRONG : MA_ROLE_PLAIN,
			"%s  RSS %s  live %s  alloc %s/s  swap %s  faults %s",
			ma_compact_clock(point->time_nanos, true).text,
			ma_compact_size((double)point->rss_bytes).text,
			ma_compact_size(point->live_bytes).text,
			ma_compact_size(rate_at(head, at)).text,
			ma_compact_size((double)point->swap_bytes).text,
			ma_compact_count((double)point->major_faults).text);
	for (int row = 0; model->time_cursor && row < layout->body_rows - 1; row++)
		ma_canvas_text(layout->body_row + row, LABEL_COLUMNS + column, 1, MA_ROLE_STRONG,
			       ma_sign(frame, MA_SIGN_CURSOR));
}

void ma_draw_time(struct ma_frame *frame)
{
	const struct ma_layout *layout = &frame->layout;
	const Memattach__LiveView *head = ma_model_head(frame->model);
	int columns = frame->columns - LABEL_COLUMNS - 1;
	if (!head || !head->session || !head->n_timeline) {
		ma_canvas_text(layout->body_row + 1, 2, frame->columns - 3, MA_ROLE_FAINT,
			       "the first second is not over yet");
		return;
	}
	int room = layout->body_rows - 1, top = layout->body_row;
	for (int i = 0; i < CURVES; i++) {
		/* The rest of the division goes to the first ones. */
		int rows = room / CURVES + (i < room % CURVES);
		if (rows < 1)
			continue;
		draw_curve(frame, head, (enum curve)i, top, rows, columns);
		top += rows;
	}
	int row = layout->body_row + layout->body_rows - 1;
	ma_canvas_text(row, LABEL_COLUMNS, columns, MA_ROLE_FAINT,
		       ma_compact_clock(head->session->attach_time_nanos, true).text);
	ma_canvas_right(
		row, LABEL_COLUMNS, columns, MA_ROLE_FAINT,
		ma_compact_clock(head->timeline[head->n_timeline - 1]->time_nanos, true).text);
	draw_moment(frame, head, columns);
}
