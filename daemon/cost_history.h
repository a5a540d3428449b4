/* SPDX-License-Identifier: MIT */
/*
 * What tracking has cost so far, and the interval that was in force: spans of equal length, in
 * bounded memory. When there are too many they are merged two by two, and spans are twice as long
 * from then on. Kept by the governor (governor.h) for people who ask how it was.
 */
#ifndef MA_DAEMON_COST_HISTORY_H
#define MA_DAEMON_COST_HISTORY_H

#include <stdint.h>

enum {
	MA_COST_SPANS = 64,
	MA_COST_SPAN_MS = 1000, /* of the first spans */
};

/* One span; ratios are of one core, averaged over it. */
struct ma_cost_span {
	uint64_t end_ms; /* on the caller's clock */
	uint32_t span_ms;
	uint32_t interval_bytes;  /* at its end */
	uint32_t window_exponent; /* at its end; 0 = no windows */
	double slow_ratio;
	double fast_ratio;
	double operations_per_second;
};

/* Zero-initialise, then use. */
struct ma_cost_history {
	struct ma_cost_span spans[MA_COST_SPANS]; /* oldest first */
	uint32_t count;
	uint32_t merges;             /* how often the spans were made twice as long */
	struct ma_cost_span growing; /* the next; span_ms 0 = nothing in it yet */
};

/* Adds what was measured over span->span_ms, up to span->end_ms. */
void ma_cost_history_add(struct ma_cost_history *history, const struct ma_cost_span *span);

#endif
