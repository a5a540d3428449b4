/* SPDX-License-Identifier: MIT */
/*
 * Steers the sampling interval R. What the hook costs is the time in its slow path, measured by
 * itself in TSC cycles, plus its fast path, estimated from the number of operations; R steers only
 * the first. R is raised at once when events pile up or the live set fills. When the slow path
 * takes more than its share of the budget, twice in a row or grossly, R is raised by as much as
 * brings it down again: a target that wakes up is within its budget before a second is over. It is
 * lowered slowly, never below where it started. R may change at any time without bias, because
 * every record carries the value in force at its draw.
 *
 * No R brings the fast path down. Where that alone exceeds its part of the budget, small objects of
 * Python's are looked at in random windows only (daemon/windows.h), open with the chance
 * 2^-exponent. The exponent grows as fast as R does, and shrinks as slowly.
 */
#ifndef MA_DAEMON_GOVERNOR_H
#define MA_DAEMON_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/cost_history.h"

enum {
	MA_INTERVAL_MIN_BYTES = 4 << 10,
	MA_INTERVAL_MAX_BYTES = 64 << 20,
	MA_GOVERNOR_PERIOD_MS = 250, /* of judging the cost */
	MA_WINDOW_EXPONENT_MAX = 5,  /* windows are open for 1/32 of the time at least */
};

/*
 * Estimated cost of one intercepted operation that is not sampled, thunk included: of malloc's
 * family 1.9 ns and more in programs that work between two operations, of Python's small objects
 * 1.1 to 1.5, more where the interpreter's own calls are speculated. See docs/performance.md.
 */
#define MA_FAST_PATH_NS     2.3
#define MA_WINDOWED_PATH_NS 1.5

/*
 * What the slow path costs the process, in units of the time that it takes itself: the caches that
 * it leaves behind are not those that it found. 1.4 to 2 in the same programs.
 */
#define MA_SLOW_PATH_TIMES 1.75

/* What a tick is told. Counts are totals since attach. */
struct ma_governor_input {
	uint64_t now_ms;
	uint64_t tsc;
	double slow_cycles; /* that the slow path cost */
	double operations;  /* allocations and frees, estimated, in windows that are closed too */
	double windowed;    /* those of them that pass by while a window is closed */
	uint64_t samples;   /* taken, and those of them that were of the windowed kind */
	uint64_t windowed_samples;
	int ring_permille;   /* largest ring fill since the last tick */
	uint64_t live_count; /* entries of the live set */
	uint64_t dropped;    /* allocations and frees that found no room */
};

struct ma_governor {
	bool fixed;          /* never touch R */
	bool has_windows;    /* the hook can let small objects pass by */
	double budget_ratio; /* of one core; 0 = none */
	uint32_t tsc_khz;
	uint32_t start_bytes;
	uint32_t interval_bytes; /* R now */
	uint32_t min_bytes;      /* since the start */
	uint32_t max_bytes;
	uint32_t exponent;        /* of the windows; 0 = there are none */
	uint32_t max_exponent;    /* since the start */
	double slow_ratio;        /* cost of the slow path, of one core; smoothed */
	double fast_ratio;        /* of the fast path */
	double windowed_ratio;    /* what the windowed part of that would cost without windows */
	bool known;               /* the two above mean something */
	double newest_slow_ratio; /* of the last period alone */
	double newest_windowed_ratio;
	double windowed_part;          /* of the samples of the last period */
	bool was_over;                 /* and it was more than its share of the budget */
	bool was_wide;                 /* and the windows were open too often */
	struct ma_governor_input last; /* at the last judgement of the cost */
	struct ma_cost_history history;
	uint64_t last_dropped;
	uint64_t live_at_raise;
	uint64_t calm_since_ms;
	uint64_t narrow_since_ms; /* since when the windows need not be as narrow as they are */
};

/* interval_bytes is brought between the bounds; has_windows is for the caller to set afterwards.
 * Daemon loop, as everything here. */
void ma_governor_init(struct ma_governor *governor, uint32_t interval_bytes, bool fixed,
		      double budget_ratio, uint32_t tsc_khz);

/* At each poll. Returns whether interval_bytes changed; the exponent may have, too. */
bool ma_governor_tick(struct ma_governor *governor, const struct ma_governor_input *input);

/* Somebody asks for an interval: from now on it is fixed, and there are no windows. */
void ma_governor_fix(struct ma_governor *governor, uint32_t interval_bytes);

/* Cost of one core, or a negative number while it is not known. */
double ma_governor_cost(const struct ma_governor *governor);

#endif
