/* SPDX-License-Identifier: MIT */
/* What the parts of the live view's answer share; see viewer.h. */
#ifndef MA_DAEMON_VIEWER_ANSWER_H
#define MA_DAEMON_VIEWER_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/viewer_index.h"
#include "daemon/viewer_values.h"
#include "daemon/pool.h"
#include "daemon/session.h"
#include "proto/control.pb-c.h"
#include "proto/pattern.h"

enum {
	MA_VIEWER_FILTERS = 4,    /* patterns that several viewers have in use at a time */
	MA_VIEWER_LIMIT = 2000,   /* rows of one answer */
	MA_VIEWER_STACKS = 20,    /* stacks of one answer */
	MA_VIEWER_COLUMNS = 1000, /* of the flame */
	MA_VIEWER_LEVELS = 1024,  /* of the flame */
};

/* A pattern, and for every line whether it matches. */
struct ma_viewer_filter {
	char source[MA_PATTERN_BYTES + 1];
	const char *error; /* why it is no pattern; NULL: it is one */
	struct ma_pattern pattern;
	uint8_t *matches; /* by line; owned */
	uint32_t count, room;
	uint64_t used_ms;
};

struct ma_viewer {
	struct ma_viewer_index index[2]; /* without native frames, and with them */
	struct ma_viewer_values values;
	struct ma_viewer_filter filters[2][MA_VIEWER_FILTERS]; /* for each index */
	uint64_t used_ms;
	uint64_t pss_bytes; /* as last asked */
	uint64_t pss_due_ms;
};

/* Sums over sites. */
struct ma_viewer_sum {
	double live_bytes;
	double live_variance;
	double live_third;
	double live_shared;
	double delta_bytes;
	double held_bytes;
	double peak_bytes;
	double rate;
	double live_count;
	uint64_t sites; /* that anything above is of */
};

/* One answer in the making. */
struct ma_viewer_answer {
	struct ma_session *session;
	struct ma_viewer *viewer;
	struct ma_viewer_index *index; /* of the two, the one that is asked about */
	const Memattach__LiveQuery *query;
	const struct ma_viewer_reading *shown;
	const struct ma_viewer_reading *reference; /* NULL: the attach, when nothing was live */
	const struct ma_viewer_filter *filter;     /* NULL: everything matches */
	struct ma_pool *pool;
	Memattach__LiveView *view;
};

/* Adds what a slot is worth to a sum. Returns whether that is anything at all. */
bool ma_viewer_sum_add(struct ma_viewer_sum *sum, const struct ma_viewer_answer *answer,
		       uint32_t slot);

/* The value that a column shows (and sorts by); names have none: 0. */
double ma_viewer_sum_column(const struct ma_viewer_sum *sum, Memattach__LiveQuery__Column column);

/* Is the slot of the thread that was asked for? */
bool ma_viewer_slot_wanted(const struct ma_viewer_answer *answer, uint32_t slot);

/* Does a line match the filter, as far as that is known? */
bool ma_viewer_line_matches(const struct ma_viewer_answer *answer, uint32_t line);

/* Slots that both the index and the reading know. */
uint32_t ma_viewer_slot_count(const struct ma_viewer_answer *answer);

/* A copy of a text in the pool; the empty text when memory ran out. */
char *ma_viewer_text(struct ma_pool *pool, const char *text);

/* A row with these values, and the texts of a line; NULL: no memory. */
Memattach__LiveRow *ma_viewer_row(struct ma_viewer_answer *answer, const struct ma_viewer_sum *sum,
				  const struct ma_viewer_line *line);

/* What is ordered: anything with a sum and a line. */
struct ma_viewer_entry_rank {
	double value;  /* of the column sorted by */
	uint32_t item; /* line or node */
	uint32_t line;
};

/* Brings the entries offset .. offset + limit - 1 of the wanted order to their places; the others
 * stand anyhow. */
void ma_viewer_order(const struct ma_viewer_answer *answer, struct ma_viewer_entry_rank *entries,
		     uint32_t count, uint32_t offset, uint32_t limit);

/* Does a stand before b in the wanted order? */
bool ma_viewer_before(const struct ma_viewer_answer *answer, const struct ma_viewer_entry_rank *a,
		      const struct ma_viewer_entry_rank *b);

/* The views; each fills row, row_count, sum and what else is its own. false: no memory. */
bool ma_viewer_fill_lines(struct ma_viewer_answer *answer);
bool ma_viewer_fill_threads(struct ma_viewer_answer *answer);
bool ma_viewer_fill_tree(struct ma_viewer_answer *answer);
bool ma_viewer_fill_flame(struct ma_viewer_answer *answer);
bool ma_viewer_fill_stacks(struct ma_viewer_answer *answer);

#endif
