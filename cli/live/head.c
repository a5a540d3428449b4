/* SPDX-License-Identifier: MIT */
/* The rows at the top: who, at what cost; memory and what limits it; the heap; curves. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc.h"
#include "cli/display.h"
#include "cli/live/compact.h"
#include "cli/live/estimates.h"
#include "cli/live/frame.h"
#include "cli/live/graph.h"
#include "cli/windows_view.h"
#include "proto/area.h"

#define HINT "q ? /"

enum {
	LABEL_COLUMNS = 6,
	GAP = 2,
	LEAST_NAME = 8,
	HINT_FROM = 72,
	WIDE = 76,
	LEAST_BAR = 6,
	MOST_BAR = 40
};

/* Full from here on is worth a look, and from there on an alarm. */
#define LIMIT_WARN 0.80
#define LIMIT_BAD  0.92

/* A row that is filled from the left, item by item. */
struct line {
	int row, column, end;
};

static void add(struct line *line, enum ma_role role, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void add(struct line *line, enum ma_role role, const char *format, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, format);
	vsnprintf(text, sizeof text, format, ap);
	va_end(ap);
	/* Half an item would be worse than none. */
	if ((int)ma_display_columns(text) > line->end - line->column)
		return;
	line->column +=
		ma_canvas_text(line->row, line->column, line->end - line->column, role, text);
}

static uint64_t drops_of(const Memattach__LiveView *head)
{
	const Memattach__Loss *loss = head->loss;
	return loss ? loss->dropped_allocs + loss->dropped_frees + loss->dropped_maps : 0;
}

/* The command line without the directory of its program. */
static const char *name_of(const Memattach__Session *session)
{
	const char *command = session->command[0] ? session->command : session->executable;
	size_t program = strcspn(command, " ");
	for (size_t i = program; i > 0; i--)
		if (command[i - 1] == '/')
			return command + i;
	return command;
}

static double seconds_since(const struct ma_frame *frame, const Memattach__LiveView *head,
			    uint64_t time_ns)
{
	const Memattach__Session *session = head->session;
	bool tracking = session->state == MEMATTACH__SESSION__STATE__TRACKING;
	uint64_t now_ns = tracking ? frame->now_ns : session->end_time_nanos;
	return time_ns && now_ns > time_ns ? (double)(now_ns - time_ns) / 1e9 : 0;
}

/* Items of the first row, in their order; the ones of the highest rank are left out first. */
struct item {
	char text[96];
	int rank;
	enum ma_role role;
	bool shown;
};

enum { ITEM_UP, ITEM_ATTACHED, ITEM_COST, ITEM_INTERVAL, ITEM_DROPS, ITEMS };

static void make_items(const struct ma_frame *frame, const Memattach__LiveView *head,
		       struct item items[ITEMS])
{
	static const int ranks[ITEMS] = {[ITEM_UP] = 4,
					 [ITEM_ATTACHED] = 2,
					 [ITEM_COST] = 0,
					 [ITEM_INTERVAL] = 1,
					 [ITEM_DROPS] = 3};
	const Memattach__Session *session = head->session;
	uint64_t start_ns = head->process ? head->process->start_time_nanos : 0;
	uint64_t drops = drops_of(head);
	for (int i = 0; i < ITEMS; i++)
		items[i] = (struct item){.rank = ranks[i], .role = MA_ROLE_PLAIN};
	snprintf(items[ITEM_UP].text, sizeof items->text, "  up %s",
		 ma_compact_duration(seconds_since(frame, head, start_ns)).text);
	snprintf(items[ITEM_ATTACHED].text, sizeof items->text, "  attached %s",
		 ma_compact_duration(seconds_since(frame, head, session->attach_time_nanos)).text);
	snprintf(items[ITEM_COST].text, sizeof items->text, "  cost %s",
		 session->cost_ratio < 0 ? "?" : ma_compact_share(session->cost_ratio).text);
	if (session->mode == MA_MODE_EXACT)
		snprintf(items[ITEM_INTERVAL].text, sizeof items->text, "  exact");
	else if (session->mode == MA_MODE_CLASSES)
		snprintf(items[ITEM_INTERVAL].text, sizeof items->text, "  by size");
	else
		snprintf(items[ITEM_INTERVAL].text, sizeof items->text, "  R %s%s%s",
			 ma_compact_setting((double)session->interval_bytes).text,
			 session->window_exponent ? "  windows " : "",
			 session->window_exponent ? ma_windows_part(session->window_exponent).text
						  : "");
	snprintf(items[ITEM_DROPS].text, sizeof items->text, "  drops %s",
		 ma_compact_count((double)drops).text);
	if (drops) {
		/* What was lost is what one must not miss. */
		items[ITEM_DROPS].rank = -1;
		items[ITEM_DROPS].role = MA_ROLE_BAD;
	}
}

static void draw_process(struct ma_frame *frame, const Memattach__LiveView *head)
{
	struct item items[ITEMS];
	struct line line = {0, 1, frame->columns - 1};
	make_items(frame, head, items);
	add(&line, MA_ROLE_STRONG, "%d ", head->session->pid);
	if (frame->columns >= HINT_FROM) {
		ma_canvas_right(0, frame->columns - (int)strlen(HINT) - 1, (int)strlen(HINT),
				MA_ROLE_KEY, HINT);
		line.end -= (int)strlen(HINT) + GAP;
	}
	int room = line.end - line.column - LEAST_NAME;
	for (int rank = -1; rank < ITEMS; rank++) {
		for (int i = 0; i < ITEMS; i++) {
			if (items[i].rank != rank || (int)strlen(items[i].text) > room)
				continue;
			items[i].shown = true;
			room -= (int)strlen(items[i].text);
		}
	}
	line.column += ma_draw_name(frame, 0, line.column, LEAST_NAME + room, MA_ROLE_STRONG,
				    name_of(head->session));
	for (int i = 0; i < ITEMS; i++)
		if (items[i].shown)
			add(&line, items[i].role, "%s", items[i].text);
}

static void add_bar(struct ma_frame *frame, struct line *line, double ratio, enum ma_role role,
		    int cells)
{
	int full = (int)floor((ratio < 1 ? ratio : 1) * cells + 0.5);
	add(line, MA_ROLE_PLAIN, "[");
	for (int i = 0; i < cells; i++)
		add(line, i < full ? role : MA_ROLE_FAINT, "%s",
		    ma_sign(frame, i < full ? MA_SIGN_BAR : MA_SIGN_NO_BAR));
	add(line, MA_ROLE_PLAIN, "] ");
}

/* Time until the limit at this rate, "" when that is far off. */
static struct ma_figure time_left(const Memattach__Memory *memory)
{
	struct ma_figure left = {""};
	double growth = memory->growth_bytes_per_second;
	double room = (double)memory->cgroup_limit_bytes - (double)memory->cgroup_bytes;
	if (growth > 0 && room > 0 && room / growth < 86400)
		left = ma_compact_duration(room / growth);
	return left;
}

static void draw_memory(struct ma_frame *frame, const Memattach__LiveView *head)
{
	const Memattach__Memory *memory = head->memory;
	struct line line = {1, 1, frame->columns - 1};
	add(&line, MA_ROLE_PLAIN, "RSS ");
	add(&line, MA_ROLE_STRONG, "%s", ma_compact_size((double)memory->rss_bytes).text);
	add(&line, MA_ROLE_PLAIN, " PSS %s",
	    memory->pss_bytes ? ma_compact_size((double)memory->pss_bytes).text : "?");
	add(&line, memory->swap_bytes ? MA_ROLE_WARN : MA_ROLE_PLAIN, " swap %s",
	    ma_compact_size((double)memory->swap_bytes).text);
	double growth = memory->growth_bytes_per_second;
	if (!memory->cgroup_limit_bytes) {
		add(&line, MA_ROLE_PLAIN, "   LIMIT none");
		add(&line, MA_ROLE_FAINT, "   %s/s", ma_compact_change(growth).text);
		return;
	}
	double ratio = (double)memory->cgroup_bytes / (double)memory->cgroup_limit_bytes;
	struct ma_figure left = time_left(memory);
	enum ma_role role = ratio >= LIMIT_BAD    ? MA_ROLE_BAD
			    : ratio >= LIMIT_WARN ? MA_ROLE_WARN
						  : MA_ROLE_GOOD;
	char text[128];
	snprintf(text, sizeof text, "%s/%s  %s  ",
		 ma_compact_size((double)memory->cgroup_bytes).text,
		 ma_compact_size((double)memory->cgroup_limit_bytes).text,
		 left.text[0] ? left.text : ma_compact_share(ratio).text);
	add(&line, MA_ROLE_PLAIN, "   LIMIT ");
	int cells = line.end - line.column - (int)strlen(text) - (int)strlen("[] left");
	if (cells >= LEAST_BAR)
		add_bar(frame, &line, ratio, role, cells < MOST_BAR ? cells : MOST_BAR);
	text[strlen(text) - 2] = '\0';
	add(&line, role, "%s%s", text, left.text[0] ? " left" : "");
	if (left.text[0])
		add(&line, MA_ROLE_FAINT, "  %s/s", ma_compact_change(growth).text);
}

static void draw_heap(struct ma_frame *frame, const Memattach__LiveView *head)
{
	const Memattach__Totals *totals = head->totals;
	const char *sign = ma_sign(frame, MA_SIGN_PLUS_MINUS);
	bool wide = frame->columns >= WIDE;
	const char *gap = wide ? "   " : "  ";
	struct line line = {2, 1, frame->columns - 1};
	if (!totals)
		return;
	add(&line, MA_ROLE_PLAIN, "live ");
	add(&line, MA_ROLE_STRONG, "%s", ma_compact_size(totals->live_bytes).text);
	add(&line, MA_ROLE_PLAIN, "%s",
	    ma_live_plus_minus(ma_live_total_estimate(totals), sign).text);
	add(&line, MA_ROLE_PLAIN, "%speak %s", gap, ma_compact_size(totals->peak_bytes).text);
	add(&line, MA_ROLE_PLAIN, "%s",
	    ma_live_plus_minus(ma_live_peak_estimate(totals), sign).text);
	if (totals->peak_bytes > 0)
		add(&line, MA_ROLE_PLAIN, " at %s",
		    ma_compact_clock(head->session->peak_time_nanos, wide).text);
	add(&line, MA_ROLE_PLAIN, "%salloc %s/s", gap,
	    ma_compact_size(totals->allocated_bytes_per_second).text);
	add(&line, MA_ROLE_FAINT, "   %s live", ma_compact_count(totals->live_count).text);
	add(&line, MA_ROLE_FAINT, "   %s sites",
	    ma_compact_count((double)head->session->sites).text);
}

void ma_draw_head(struct ma_frame *frame)
{
	const Memattach__LiveView *head = ma_model_head(frame->model);
	if (!head || !head->session || !head->memory) {
		ma_canvas_text(0, 1, frame->columns - 1, MA_ROLE_PLAIN,
			       "waiting for the daemon's answer");
		return;
	}
	draw_process(frame, head);
	draw_memory(frame, head);
	draw_heap(frame, head);
}

enum curve { CURVE_RSS, CURVE_LIVE };

static double point_value(const Memattach__TimelinePoint *point, enum curve curve)
{
	return curve == CURVE_RSS ? (double)point->rss_bytes : point->live_bytes_max;
}

/* A curve of its own: name, graph, the figure at its top. */
static void draw_curve(struct ma_frame *frame, const Memattach__LiveView *head, enum curve curve,
		       int column, int columns)
{
	static const char *const names[] = {[CURVE_RSS] = "RSS", [CURVE_LIVE] = "live"};
	const struct ma_layout *layout = &frame->layout;
	enum ma_role role = curve == CURVE_RSS ? MA_ROLE_RSS : MA_ROLE_LIVE;
	size_t count = head->n_timeline;
	/* With one row there is no room for the figure at the top, and no need of its columns. */
	int label = layout->graph_rows > 1 ? LABEL_COLUMNS : (int)strlen(names[curve]) + 1;
	int cells = columns - label - 1;
	if (!count || cells < 4)
		return;
	struct ma_graph_point *points = ma_alloc(count, sizeof *points);
	double *values = ma_alloc((size_t)cells, sizeof *values);
	for (size_t i = 0; i < count; i++)
		points[i] = (struct ma_graph_point){head->timeline[i]->time_nanos,
						    point_value(head->timeline[i], curve)};
	ma_graph_sample(values, (size_t)cells, points, count, head->session->attach_time_nanos,
			points[count - 1].time_ns);
	double most = ma_graph_most(values, (size_t)cells);
	for (int row = 0; row < layout->graph_rows; row++) {
		struct ma_text text = {0};
		ma_graph_blocks(&text, values, (size_t)cells, (unsigned)row,
				(unsigned)layout->graph_rows, most, frame->utf8);
		int at = layout->graph_row + row;
		if (row == 0)
			ma_canvas_text(at, column, label, role, names[curve]);
		if (row == 1)
			ma_canvas_right(at, column, label - 1, MA_ROLE_FAINT,
					ma_compact_size(most).text);
		ma_canvas_text(at, column + label, cells, role, ma_text_string(&text));
		ma_text_fini(&text);
	}
	free(points);
	free(values);
}

void ma_draw_graphs(struct ma_frame *frame)
{
	const Memattach__LiveView *head = ma_model_head(frame->model);
	if (!head || !head->session)
		return;
	double seconds = seconds_since(frame, head, head->session->attach_time_nanos);
	struct ma_figure span = ma_compact_duration(seconds);
	int span_columns = (int)strlen(span.text) + 1;
	int half = (frame->columns - 1 - span_columns) / 2;
	draw_curve(frame, head, CURVE_RSS, 1, half);
	draw_curve(frame, head, CURVE_LIVE, 1 + half, half);
	ma_canvas_right(frame->layout.graph_row, frame->columns - span_columns - 1, span_columns,
			MA_ROLE_FAINT, span.text);
}
