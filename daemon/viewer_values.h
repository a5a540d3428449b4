/* SPDX-License-Identifier: MIT */
/*
 * What every site is worth at one moment, by slot of the live index: now, and at a few moments
 * before that somebody marked, to count differences from or to look at for longer. Rates come from
 * two readings some seconds apart; what is held takes a scan of everything live, so it is looked up
 * less often the longer that takes.
 */
#ifndef MA_DAEMON_VIEWER_VALUES_H
#define MA_DAEMON_VIEWER_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/session.h"

enum {
	MA_VIEWER_MARKS = 8,
	MA_VIEWER_MARK_MS = 10 * 60 * 1000, /* a mark nobody asks about is given up after this */
	MA_VIEWER_FRESH_MS = 40,            /* a reading this young serves the next frame too */
};

/* Estimates; bytes, counts, bytes a second. Single precision is far better than the estimates. */
struct ma_viewer_value {
	float live_bytes;
	float live_variance;
	float live_third;
	float live_shared;
	float held_bytes;
	float peak_bytes;
	float rate;
	float live_count;
};

/* One reading of all slots. */
struct ma_viewer_reading {
	struct ma_viewer_value *values; /* owned */
	uint32_t count;
	uint64_t time_ns; /* CLOCK_REALTIME */
};

struct ma_viewer_mark {
	uint64_t id; /* 0 = none here */
	uint64_t used_ms;
	struct ma_viewer_reading reading;
};

/* What was allocated in all, by slot, at one moment: where rates start from. */
struct ma_viewer_base {
	double *allocated_bytes; /* owned */
	uint32_t count;
	uint64_t time_ms;
};

/* Zero-initialise, then use. */
struct ma_viewer_values {
	struct ma_viewer_reading now;
	uint64_t now_ms; /* monotonic, when it was taken */
	struct ma_viewer_base older, newer;
	float *held; /* by slot */
	uint32_t held_count;
	uint64_t held_due_ms;
	struct ma_viewer_mark marks[MA_VIEWER_MARKS];
	uint64_t last_mark;
};

/* Reads the heap unless that was done just now. now_ms: CLOCK_MONOTONIC. false: no memory. Daemon
 * loop, as everything here. */
bool ma_viewer_values_read(struct ma_viewer_values *values, const struct ma_session *session,
			   uint64_t now_ms);

/* Keeps the current reading under an id of its own, never 0 and never one used before; the mark
 * that was asked for least recently makes room. 0: no memory. */
uint64_t ma_viewer_values_mark(struct ma_viewer_values *values, uint64_t now_ms);

/* The reading of a mark, NULL when it is not kept. It counts as used. Borrowed until the next call
 * with this values. */
const struct ma_viewer_reading *ma_viewer_values_find(struct ma_viewer_values *values, uint64_t id,
						      uint64_t now_ms);

void ma_viewer_values_fini(struct ma_viewer_values *values);

#endif
