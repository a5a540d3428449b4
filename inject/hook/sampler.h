/* SPDX-License-Identifier: MIT */
/*
 * How many bytes until the next sample: exponential draws with a given mean, in integers only.
 * Pure; any thread, each with a random state of its own.
 */
#ifndef MA_HOOK_SAMPLER_H
#define MA_HOOK_SAMPLER_H

#include <stdint.h>

#define MA_HIDDEN __attribute__((visibility("hidden")))

/* The next of a sequence of uniform 64-bit numbers. */
MA_HIDDEN uint64_t ma_sampler_random(uint64_t *state);

/* -ln(u / 2^64) in units of 2^-57, for u > 0; absolute error below 2^-40. */
MA_HIDDEN uint64_t ma_sampler_neg_log(uint64_t u);

/* An exponential draw with mean 1, in units of 2^-57. */
MA_HIDDEN uint64_t ma_sampler_exponential(uint64_t *state);

/*
 * floor(X) in bytes, X exponential with mean interval_bytes. An allocation of k bytes is sampled
 * when floor(X) < k, which is X < k: with probability 1 - exp(-k / interval_bytes), exactly; what
 * is left after an allocation that was not sampled is floor(X - k), exponential again.
 */
MA_HIDDEN uint64_t ma_sampler_draw(uint64_t *state, uint32_t interval_bytes);

#endif
