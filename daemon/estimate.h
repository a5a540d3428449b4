/* SPDX-License-Identifier: MIT */
/*
 * What one sample stands for. An allocation of k bytes was chosen with probability
 * p = 1 - exp(-k / R), R the mean interval in force when the interval was drawn; its
 * Horvitz-Thompson weight is 1/p allocations of k bytes, and the variance that it adds to a sum is
 * (1 - p) / p^2 for counts and k^2 (1 - p) / p^2 for bytes (Horvitz and Thompson, "A generalization
 * of sampling without replacement from a finite universe", 1952). Both estimates are unbiased
 * sample by sample, so samples with different R add up.
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
};

/*
 * The weight of a sampled allocation of size_bytes (0 counts as 1, at most 2^47) drawn with the
 * mean interval_bytes; interval 0 means that it was certain to be recorded: weight 1, variance 0.
 * Deterministic: the same arguments always give the same integers. Pure function, any thread.
 */
void ma_estimate_weight(uint64_t size_bytes, uint32_t interval_bytes, struct ma_weight *weight);

#endif
