/* SPDX-License-Identifier: MIT */
/*
 * The table of the first screen: the lines that hold the heap. On a narrow terminal the columns
 * that matter least are left out, so that the site stays readable.
 */
#include "cli/summary_view.h"

#include <stdio.h>
#include <string.h>

#include "cli/display.h"
#include "cli/format.h"
#include "cli/terminal.h"

enum column { COLUMN_HELD, COLUMN_LIVE, COLUMN_INTERVAL, COLUMN_PEAK, COLUMN_COUNT, COLUMNS };

enum {
	SITE_LEAST = 36,
	FUNCTION_LEAST = 8,
	FUNCTION_SHARE_PERCENT = 45,
	SITE_GAP = 2,
	LEAST_ENTRY = 12
};

static const struct {
	const char *title;
	unsigned width;
} columns[COLUMNS] = {
	[COLUMN_HELD] = {"HELD", 10},          [COLUMN_LIVE] = {"LIVE", 10},
	[COLUMN_INTERVAL] = {"\u00b195 %", 8}, [COLUMN_PEAK] = {"PEAK", 10},
	[COLUMN_COUNT] = {"COUNT", 7},
};

/* Left out in this order where the site has too little room. */
static const enum column dispensable[] = {COLUMN_COUNT, COLUMN_PEAK, COLUMN_INTERVAL};

struct table {
	struct ma_text *text;
	const struct ma_summary *summary;
	bool shown[COLUMNS];
	unsigned site_column;
	unsigned function_width;
	unsigned file_width;
};

static unsigned numbers_width(const bool shown[COLUMNS])
{
	unsigned width = SITE_GAP;
	for (int i = 0; i < COLUMNS; i++)
		width += shown[i] ? columns[i].width : 0;
	return width;
}

static bool is_sampled(const struct ma_summary *summary)
{
	return ma_heap_resolution(summary->profile->heap) > 0;
}

static void choose_columns(struct table *table)
{
	for (int i = 0; i < COLUMNS; i++)
		table->shown[i] = true;
	table->shown[COLUMN_INTERVAL] = is_sampled(table->summary);
	/* The interval is given up last: at the least width of a terminal it still fits. */
	for (size_t i = 0; i + 1 < sizeof dispensable / sizeof dispensable[0]; i++)
		if (numbers_width(table->shown) + SITE_LEAST > table->summary->width)
			table->shown[dispensable[i]] = false;
	table->site_column = numbers_width(table->shown);
}

static void add_right(struct ma_text *text, const char *string, unsigned width)
{
	unsigned taken = ma_display_columns(string);
	ma_text_repeat(text, ' ', width > taken ? width - taken : 0);
	ma_text_add(text, string);
}

/* "app/cache.py:88", harmless. */
static void write_file(struct ma_text *text, const struct ma_place *place)
{
	ma_display_escape(text, ma_display_path(place->file));
	if (place->line > 0)
		ma_text_addf(text, ":%lld", (long long)place->line);
}

/* "_multiarray_umath" of the path of an extension, "libfoo" of a library's. */
static void write_module(struct ma_text *text, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash && slash[1] ? slash + 1 : path;
	struct ma_text plain = {0};
	const char *end = strstr(name, ".cpython-");
	if (!end)
		end = strstr(name, ".abi3.");
	if (!end)
		end = strstr(name, ".so");
	ma_text_add_bytes(&plain, name, end && end > name ? (size_t)(end - name) : strlen(name));
	ma_display_escape(text, ma_text_string(&plain));
	ma_text_fini(&plain);
}

/* A place in two columns. The path is cut on the left: its end says more. Returns the columns taken
 * from the site column on. */
static unsigned write_place(const struct table *table, const char *prefix,
			    const struct ma_place *place)
{
	struct ma_text function = {0}, file = {0};
	ma_text_add(&function, prefix);
	ma_display_escape(&function, place->function);
	if (place->file[0])
		write_file(&file, place);
	else if (place->module[0])
		write_module(&file, place->module);
	unsigned width = file.length ? table->function_width
				     : table->function_width + SITE_GAP + table->file_width;
	unsigned taken = ma_display_add_start(table->text, ma_text_string(&function), width);
	if (file.length) {
		ma_text_repeat(table->text, ' ', width - taken + SITE_GAP);
		taken = width + SITE_GAP +
			ma_display_add_end(table->text, ma_text_string(&file), table->file_width);
	}
	ma_text_fini(&function);
	ma_text_fini(&file);
	return taken;
}

static void write_numbers(const struct table *table, const struct ma_heap_figures *figures)
{
	double plus_minus = ma_interval_plus_minus(&figures->live);
	const struct ma_figure cells[COLUMNS] = {
		[COLUMN_HELD] = ma_format_size(figures->held.value),
		[COLUMN_LIVE] = ma_format_size(figures->live.value),
		[COLUMN_INTERVAL] = ma_format_size_beside(plus_minus, figures->live.value),
		[COLUMN_PEAK] = ma_format_size(figures->peak.value),
		[COLUMN_COUNT] = ma_format_count(figures->live_count.value),
	};
	for (int i = 0; i < COLUMNS; i++)
		if (table->shown[i])
			add_right(table->text, cells[i].text, columns[i].width);
	ma_text_repeat(table->text, ' ', SITE_GAP);
}

static void write_outer(const struct table *table, const char *prefix, const struct ma_place *place,
			const char *remark)
{
	bool color = table->summary->color;
	if (!place->function[0])
		return;
	ma_text_repeat(table->text, ' ', table->site_column);
	ma_style_begin(table->text, color, MA_STYLE_FAINT);
	unsigned taken = write_place(table, prefix, place);
	if (table->site_column + taken + strlen(remark) <= table->summary->width)
		ma_text_add(table->text, remark);
	ma_style_end(table->text, color, MA_STYLE_FAINT);
	ma_text_add(table->text, "\n");
}

/*
 * What the line called, and what in there asked for the memory: "> zeros > calloc (numpy)". Where
 * that is too long, the entry is cut before the leaf is, whose module stands behind it.
 */
static void write_native(const struct table *table, const struct ma_native_path *native)
{
	struct ma_text entry = {0}, leaf = {0}, module = {0};
	bool color = table->summary->color;
	unsigned room = table->function_width + SITE_GAP + table->file_width;
	if (!native->entry.function[0])
		return;
	ma_text_add(&entry, "> ");
	ma_display_escape(&entry, native->entry.function);
	if (strcmp(native->leaf.function, native->entry.function) != 0) {
		ma_text_add(&leaf, " > ");
		ma_display_escape(&leaf, native->leaf.function);
	}
	if (native->leaf.module[0]) {
		ma_text_add(&module, "  (");
		write_module(&module, native->leaf.module);
		ma_text_add(&module, ")");
	}
	unsigned behind = ma_display_columns(ma_text_string(&module));
	unsigned left = room > behind ? room - behind : 0;
	unsigned ends = ma_display_columns(ma_text_string(&leaf));
	unsigned begins = left > ends + LEAST_ENTRY ? left - ends : LEAST_ENTRY;
	ma_text_repeat(table->text, ' ', table->site_column);
	ma_style_begin(table->text, color, MA_STYLE_FAINT);
	unsigned taken = ma_display_add_start(table->text, ma_text_string(&entry),
					      begins < left ? begins : left);
	ma_display_add_start(table->text, ma_text_string(&leaf), left - taken);
	if (room > behind && module.length)
		ma_text_add(table->text, ma_text_string(&module));
	ma_style_end(table->text, color, MA_STYLE_FAINT);
	ma_text_add(table->text, "\n");
	ma_text_fini(&entry);
	ma_text_fini(&leaf);
	ma_text_fini(&module);
}

static void write_row(const struct table *table, const struct ma_heap_row *row)
{
	char remark[96] = "";
	write_numbers(table, &row->figures);
	write_place(table, "", &row->place);
	ma_text_add(table->text, "\n");
	write_native(table, &row->native);
	if (row->callers > 1)
		snprintf(remark, sizeof remark, "  (%s of it, %zu callers)",
			 ma_format_share(row->caller_share).text, row->callers);
	write_outer(table, "< ", &row->caller, remark);
	write_outer(table, "<< ", &row->own, "");
}

static void write_header(const struct table *table)
{
	bool color = table->summary->color;
	ma_style_begin(table->text, color, MA_STYLE_HEAD);
	for (int i = 0; i < COLUMNS; i++)
		if (table->shown[i])
			add_right(table->text, columns[i].title, columns[i].width);
	ma_text_repeat(table->text, ' ', SITE_GAP);
	ma_text_add(table->text, "SITE");
	ma_style_end(table->text, color, MA_STYLE_HEAD);
	ma_text_add(table->text, "\n");
}

static unsigned place_columns(const struct ma_place *place, const char *prefix)
{
	struct ma_text escaped = {0};
	ma_text_add(&escaped, prefix);
	ma_display_escape(&escaped, place->function);
	unsigned taken = place->file[0] || place->module[0]
				 ? ma_display_columns(ma_text_string(&escaped))
				 : 0;
	ma_text_fini(&escaped);
	return taken;
}

/* The function column is as wide as the widest name in it, within its share of the site's room. */
static void measure_places(struct table *table, const struct ma_heap_rows *rows, size_t shown)
{
	unsigned room = table->summary->width - table->site_column;
	unsigned most = room * FUNCTION_SHARE_PERCENT / 100, widest = FUNCTION_LEAST;
	for (size_t i = 0; i < shown; i++) {
		const struct ma_heap_row *row = &rows->rows[i];
		const unsigned widths[] = {place_columns(&row->place, ""),
					   place_columns(&row->caller, "< "),
					   place_columns(&row->own, "<< ")};
		for (size_t j = 0; j < sizeof widths / sizeof widths[0]; j++)
			widest = widths[j] > widest ? widths[j] : widest;
	}
	table->function_width = widest < most ? widest : most;
	table->file_width = room - table->function_width - SITE_GAP;
}

/* Rows that hold nothing any more are not worth a line; they rank last among the chosen. */
static size_t count_live(const struct ma_heap_rows *rows, size_t top)
{
	size_t live = 0;
	while (live < rows->count && live < top &&
	       (rows->rows[live].figures.live.value > 0 || rows->rows[live].figures.held.value > 0))
		live++;
	return live;
}

static void write_others(const struct table *table, const struct ma_heap_rows *rows, size_t shown)
{
	struct ma_heap_figures others = {0};
	size_t lines = 0;
	for (size_t i = shown; i < rows->count; i++) {
		const struct ma_heap_figures *figures = &rows->rows[i].figures;
		ma_heap_figures_add(&others, figures);
		lines += figures->live.value > 0 || figures->peak.value > 0;
	}
	if (!lines)
		return;
	write_numbers(table, &others);
	ma_text_addf(table->text, "%zu other line%s\n", lines, lines == 1 ? "" : "s");
}

void ma_summary_table_write(struct ma_text *text, const struct ma_summary *summary)
{
	struct ma_heap_rows rows;
	struct table table = {.text = text, .summary = summary};
	ma_heap_rows_make(&rows, summary->profile, summary->top);
	size_t shown = count_live(&rows, summary->top);
	if (!shown) {
		ma_text_add(text, rows.count
					  ? "Nothing that was allocated since the attach is live.\n"
					  : "No allocation was sampled since the attach.\n");
		ma_heap_rows_fini(&rows);
		return;
	}
	choose_columns(&table);
	measure_places(&table, &rows, shown);
	write_header(&table);
	for (size_t i = 0; i < shown; i++)
		write_row(&table, &rows.rows[i]);
	write_others(&table, &rows, shown);
	ma_heap_rows_fini(&rows);
}
