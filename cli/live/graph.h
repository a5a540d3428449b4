/* SPDX-License-Identifier: MIT */
/*
 * Curves as text: columns of blocks (eight levels a row), or lines of braille dots (two by four a
 * cell) where there is room; '#' on an ASCII screen. Pure functions of numbers.
 */
#ifndef MA_CLI_LIVE_GRAPH_H
#define MA_CLI_LIVE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/text.h"

/* A measured point. */
struct ma_graph_point {
	uint64_t time_ns;
	double value;
};

/*
 * The value of each of `columns` equal parts of the time from from_ns to to_ns: the largest of the
 * points that end in it, else the value that the next point ends (a point stands for the time since
 * the one before it). NAN where no point reaches.
 */
void ma_graph_sample(double *values, size_t columns, const struct ma_graph_point *points,
		     size_t count, uint64_t from_ns, uint64_t to_ns);

/* The largest value that is one; 0 when there is none. */
double ma_graph_most(const double *values, size_t columns);

/* A round number that is not less: 1, 2, 3, 5 or 8 times a power of ten or, for bytes, of two. */
double ma_graph_ceiling(double most);

/* One row of a graph of `rows` rows (row 0 is the top one) whose top stands for `most`. */
void ma_graph_blocks(struct ma_text *text, const double *values, size_t columns, unsigned row,
		     unsigned rows, double most, bool utf8);

/* The same as a line: two values a column, so `values` has 2 * columns of them. On an ASCII screen
 * as ma_graph_blocks of every second one. */
void ma_graph_dots(struct ma_text *text, const double *values, size_t columns, unsigned row,
		   unsigned rows, double most, bool utf8);

#endif
