/* SPDX-License-Identifier: MIT */
/*
 * What samples of the same window have in common. All that was allocated in one window was looked
 * at, or none of it (proto/area.h, MA_WINDOW), so the estimates of what lies in one window err
 * together: beside the variances of its samples, a sum of weights z has the variance
 *
 *     K = sum over windows of (1 - d) ((sum of z)^2 - sum of z^2),
 *
 * d the chance of the window to be open (docs/estimates.md). K is kept as weights come and go, for
 * each set of samples that somebody sums up; this table holds the sum of z for each set and window
 * of which something is left. Memory is bounded by the samples that are live, those of the last
 * second, and in any case.
 */
#ifndef MA_DAEMON_SHARED_WINDOWS_H
#define MA_DAEMON_SHARED_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/estimate.h"

enum {
	MA_SHARED_WINDOWS_ROOM = 1 << 19, /* slots at most: the live set has a quarter of that */
	MA_SHARED_WINDOWS_PAST_MS = 1000, /* a window so long ago gets no more samples */
};

/* A set of samples: the id of a site (daemon/heap_state.h), or all. */
#define MA_SHARED_WINDOWS_ALL UINT32_MAX

struct ma_shared_window; /* the samples of one set in one window */

/* Zero-initialise, then use. */
struct ma_shared_windows {
	struct ma_shared_window *slots;
	uint32_t room;      /* 0 or a power of two */
	uint32_t used;      /* slots that are taken */
	uint32_t newest_ms; /* start of the latest window */
	uint32_t refusals;  /* to come before room is looked for again */
	uint64_t left_out;  /* samples for which there was none */
};

/* What a set of samples has from windows: K, and the weights that came through them. */
struct ma_shared {
	double bytes_square; /* units of weights, squared */
	double count_square;
	uint64_t bytes; /* units of weights */
	uint64_t count;
};

/* A sample as far as windows go. Nothing below does anything for one of no window. */
struct ma_shared_sample {
	uint32_t set;
	uint32_t rate;     /* proto/area.h */
	uint32_t start_ms; /* of its window */
	const struct ma_weight *weight;
};

/* A sample is live from now on, or no more; `live` is that of its set. nothing_left: it was the
 * last one of the set. Daemon loop, as all here. */
void ma_shared_windows_add(struct ma_shared_windows *windows, const struct ma_shared_sample *sample,
			   struct ma_shared *live);
void ma_shared_windows_take(struct ma_shared_windows *windows,
			    const struct ma_shared_sample *sample, bool nothing_left,
			    struct ma_shared *live);

/* A sample was drawn, and is never taken back. */
void ma_shared_windows_allocated(struct ma_shared_windows *windows,
				 const struct ma_shared_sample *sample,
				 struct ma_shared *allocated);

/* Nothing is live any more. */
void ma_shared_windows_forget(struct ma_shared_windows *windows);

void ma_shared_windows_fini(struct ma_shared_windows *windows);

/* Adds b to a, of samples that have no window in common. */
void ma_shared_add(struct ma_shared *a, const struct ma_shared *b);

/* How much of a set's error is of the windows, as standard deviations in bytes and allocations. */
struct ma_shared_deviation {
	double bytes;
	double count;
};

/*
 * The deviation of a set: what its own windows say, and at least its part of that of all, for the
 * few samples of a rare site tell nothing of its windows. These add up: deviations of sets are
 * common to them, so that of their union is at most their sum, and that of all is not more.
 */
struct ma_shared_deviation ma_shared_deviation_of(const struct ma_shared *set,
						  const struct ma_shared *all);

#endif
