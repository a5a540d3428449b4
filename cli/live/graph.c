/* SPDX-License-Identifier: MIT */
/* Curves as text; see graph.h. */
#include "cli/live/graph.h"

#include <math.h>

enum { LEVELS = 8, DOT_LEVELS = 4 };

/* The column whose time a moment falls into: a column ends where the next begins. */
static size_t column_of(uint64_t time_ns, uint64_t from_ns, uint64_t to_ns, size_t columns)
{
	double share = (double)(time_ns - from_ns) / (double)(to_ns - from_ns);
	size_t column = (size_t)(share * (double)columns);
	return column < columns ? column : columns - 1;
}

void ma_graph_sample(double *values, size_t columns, const struct ma_graph_point *points,
		     size_t count, uint64_t from_ns, uint64_t to_ns)
{
	for (size_t i = 0; i < columns; i++)
		values[i] = NAN;
	if (to_ns <= from_ns || !columns)
		return;
	size_t next = 0; /* column that has no value yet */
	for (size_t i = 0; i < count; i++) {
		if (points[i].time_ns < from_ns || points[i].time_ns > to_ns)
			continue;
		size_t column = column_of(points[i].time_ns, from_ns, to_ns, columns);
		/* Columns that were passed over belong to this point's time, unless it is the
		 * first: nobody knows how long before it anything was. */
		bool first = i == 0 || points[i - 1].time_ns < from_ns;
		for (; next < column; next++)
			if (!first)
				values[next] = points[i].value;
		if (isnan(values[column]) || points[i].value > values[column])
			values[column] = points[i].value;
		next = column + 1;
	}
}

double ma_graph_most(const double *values, size_t columns)
{
	double most = 0;
	for (size_t i = 0; i < columns; i++)
		if (values[i] > most)
			most = values[i];
	return most;
}

double ma_graph_ceiling(double most)
{
	static const double steps[] = {1, 1.5, 2, 3, 4, 5, 6, 8, 10};
	if (!(most > 0) || !isfinite(most))
		return 1;
	/* Within each power of 1024 count in tens, as people read 200M or 1.5G. */
	double unit = pow(1024, floor(log2(most) / 10));
	double power = pow(10, floor(log10(most / unit)));
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
		if (steps[i] * power * unit >= most)
			return steps[i] * power * unit;
	return most;
}

/* How much of a row is filled, 0 .. levels, when the value is drawn over all rows. */
static int filled(double value, unsigned row, unsigned rows, double most, int levels)
{
	if (!(value > 0) || !(most > 0))
		return 0;
	double steps = value / most * rows * levels;
	double above = steps - (double)(rows - 1 - row) * levels;
	int level = (int)floor(above + 0.5);
	/* What is there at all is seen. */
	if (row == rows - 1 && level < 1)
		level = 1;
	return level < 0 ? 0 : level > levels ? levels : level;
}

void ma_graph_blocks(struct ma_text *text, const double *values, size_t columns, unsigned row,
		     unsigned rows, double most, bool utf8)
{
	static const char *const blocks[LEVELS + 1] = {" ",      "\u2581", "\u2582",
						       "\u2583", "\u2584", "\u2585",
						       "\u2586", "\u2587", "\u2588"};
	static const char *const signs[LEVELS + 1] = {" ", "_", "_", ".", ":", "-", "=", "#", "#"};
	for (size_t i = 0; i < columns; i++) {
		int level = filled(values[i], row, rows, most, LEVELS);
		ma_text_add(text, utf8 ? blocks[level] : signs[level]);
	}
}

/* Bits of a braille sign, by column and height from the bottom (Unicode, block 2800). */
static const unsigned char dots[2][DOT_LEVELS] = {{0x40, 0x04, 0x02, 0x01},
						  {0x80, 0x20, 0x10, 0x08}};

/* Dot row of a value, from the bottom of the graph; -1: none. */
static int height_of(double value, unsigned rows, double most)
{
	if (isnan(value) || !(most > 0))
		return -1;
	int top = (int)rows * DOT_LEVELS - 1;
	int height = (int)floor(value / most * top + 0.5);
	return height < 0 ? 0 : height > top ? top : height;
}

void ma_graph_dots(struct ma_text *text, const double *values, size_t columns, unsigned row,
		   unsigned rows, double most, bool utf8)
{
	int bottom = (int)(rows - 1 - row) * DOT_LEVELS;
	for (size_t i = 0; i < columns; i++) {
		unsigned sign = 0;
		for (size_t half = 0; half < 2; half++) {
			size_t at = 2 * i + half;
			int height = height_of(values[at], rows, most);
			int before = at ? height_of(values[at - 1], rows, most) : height;
			if (height < 0)
				continue;
			/* A step is drawn as a line, or the curve falls apart. */
			int low = before >= 0 && before < height ? before + 1 : height;
			int high = before > height ? before - 1 : height;
			for (int dot = low; dot <= high; dot++)
				if (dot >= bottom && dot < bottom + DOT_LEVELS)
					sign |= dots[half][dot - bottom];
		}
		if (!utf8)
			ma_graph_blocks(text, &values[2 * i], 1, row, rows, most, false);
		else if (!sign)
			ma_text_add(text, " ");
		else
			ma_text_addf(text, "\xe2%c%c", (int)(char)(0xa0 | sign >> 6),
				     (int)(char)(0x80 | (sign & 0x3f)));
	}
}
