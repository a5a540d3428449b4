/* SPDX-License-Identifier: MIT */
/*
 * What one sample stands for. An allocation of k bytes was chosen with probability
 * p = 1 - exp(-k / R), R the mean interval in force when the interval was drawn, times the chance
 * of its window to be open (proto/area.h), or with a p of its size class; its Horvitz-Thompson
 * weight is 1/p allocations of k bytes (Horvitz and Thompson, "A generalization of sampling without
 * replacement from a finite universe", 1952). The estimates are unbiased sample by sample, so
 * samples with different R add up.
 *
 * The sample stands for itself and G like it that were missed; G is geometric with mean (1 - p) /
 * p, variance (1 - p) / p^2 and third cumulant (1 - p)(2 - p) / p^3. Sums of these are the variance
 * and the skew of the estimate (docs/estimates.md, proto/interval.h).
 */
#ifndef MA_DAEMON_ESTIMATE_H
#define MA_DAEMON_ESTIMATE_H

#include <stdint.h>

/* Sums of weights are integers in these units, so that what is added and taken away again leaves
 * exactly nothing. A sum of 64 bits then holds 2^60 bytes and 2^52 allocations. */
enum { MA_BYTES_UNITS = 16, MA_COUNT_UNITS = 4096 };

/* The contribution of one sample. */
struct ma_weight {
	uint64_t bytes;        /* in 1/MA_BYTES_UNITS bytes */
	uint64_t count;        /* in 1/MA_COUNT_UNITS allocations */
	double bytes_variance; /* bytes squared */
	double count_variance;
	double bytes_third; /* bytes cubed */
	double count_third;
	double chance; /* p without its window's */
	double open;   /* the chance of its window; 1: of none */
};

/*
 * The weight of a sampled allocation of size_bytes (0 counts as 1, at most 2^47). `rate` is what
 * the record carries (proto/area.h): the mean interval in bytes and its window, or a chance, or 0:
 * it was certain to be recorded, weight 1, variance 0. Deterministic: the same arguments always
 * give the same integers. Pure function, any thread.
 */
void ma_estimate_weight(uint64_t size_bytes, uint32_t rate, struct ma_weight *weight);

#endif
