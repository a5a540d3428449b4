/* SPDX-License-Identifier: MIT */
/*
 * The lines of a program that hold its heap: the sites of a snapshot, added up by the innermost
 * line of Python (function, file, line; where there is no Python, of native code) and ranked. A
 * pure function of a snapshot.
 */
#ifndef MA_CLI_HEAP_ROWS_H
#define MA_CLI_HEAP_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/interval.h"
#include "proto/snapshot.h"

/* A place in the program. Strings are borrowed from the profile (or literals), not escaped. */
struct ma_place {
	const char
		*function;  /* "Cache.put"; a name in parentheses where there is no Python frame */
	const char *file;   /* "" when there is none */
	int64_t line;       /* 0: not known */
	const char *module; /* of native code: the object it is in, "?": none; "" for Python */
};

/* How a line came to the allocator through native code. */
struct ma_native_path {
	struct ma_place entry; /* what Python called; function "" when there is no native code */
	struct ma_place
		leaf; /* what asked for the memory; the same when there is nothing between */
	double share; /* of the row's live bytes that came through this entry, 0 .. 1 */
};

/* Estimates of bytes and of counts, each with what its interval needs. */
struct ma_heap_figures {
	struct ma_estimate held, live, peak, allocated;
	struct ma_estimate held_count, live_count, peak_count, allocated_count;
	uint64_t live_samples;
	uint64_t sites;
};

struct ma_heap_row {
	struct ma_place place;
	struct ma_place caller; /* function "" when there is none */
	struct ma_place own;    /* nearest frame of the program's own code, when neither place nor
				 * caller is; function "" when there is none or no need */
	double caller_share;    /* of the row's live bytes that came through this caller, 0 .. 1 */
	size_t callers;         /* how many there are */
	struct ma_native_path native; /* below the line: the heaviest */
	struct ma_heap_figures figures;
	double rank_bytes; /* what the rows are ranked by, before the live bytes */
};

/*
 * Embedded. Rows are ranked by held bytes, then live bytes: what is young is mostly the noise of
 * requests. What is held below the resolution of the sampling (ma_heap_resolution) is a draw of
 * luck and counts as nothing; while what is called held is younger than a second, and of a process
 * that ended, live bytes decide alone.
 */
enum { MA_HEAP_RESOLUTION_INTERVALS = 3 };

struct ma_heap_rows {
	struct ma_heap_row *rows; /* owned */
	size_t count;
};

/*
 * Makes the rows so that the first `top` of them are those to show: half of them for the held
 * bytes, and half for the live bytes, so that a sudden growth is not hidden behind old memory. Both
 * parts together are in order of rank.
 */
void ma_heap_rows_make(struct ma_heap_rows *rows, const Memattach__Profile *profile, size_t top);
void ma_heap_rows_fini(struct ma_heap_rows *rows);

/* Bytes under which a site may have gone unseen: three intervals, or three samples of the size
 * class that hides most, or with windows three of what all allocate in one; 0 in exact mode. */
double ma_heap_resolution(const Memattach__Heap *heap);

/* The figures of all sites together, from the totals of a snapshot; the interval of the peak begins
 * lower, see ma_heap_peak_interval. */
struct ma_heap_figures ma_heap_totals(const Memattach__Totals *totals);

/* The 95 % interval of the total's peak: its upper end is that of the highest estimate, of which
 * the stated peak falls short by what choosing the highest adds (docs/estimates.md). */
struct ma_interval ma_heap_peak_interval(const Memattach__Totals *totals);

/* Adds b to a. */
void ma_heap_figures_add(struct ma_heap_figures *a, const struct ma_heap_figures *b);

#endif
