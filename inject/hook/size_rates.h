/* SPDX-License-Identifier: MIT */
/*
 * Sampling by size class: what an allocation takes from the thread's `left` is then not its bytes
 * but the cost of its class, -ln(1 - chance). `left` is drawn from the exponential distribution
 * with mean 1, so that either way an allocation is sampled when `left` does not cover it, and what
 * is left otherwise is exponential again.
 */
#ifndef MA_HOOK_SIZE_RATES_H
#define MA_HOOK_SIZE_RATES_H

#include <stdint.h>

#include "inject/hook/state.h"

/* `left` while nobody wants data: one expected sample. */
#define MA_SIZE_RATE_PAUSE (UINT64_C(1) << 57)

/* The class of an allocation; the last one takes what no other does. */
static inline const struct ma_size_rate *ma_size_rate_of(uint64_t bytes)
{
	const struct ma_size_rate *class = ma_hook.size_rates;
	const struct ma_size_rate *last = &ma_hook.size_rates[MA_SIZE_RATES - 1];

	while (class < last && bytes >= class->below_bytes)
		class ++;
	return class;
}

/* What an allocation of so many bytes, 0 counted as 1, takes from `left` in this mode. */
static inline uint64_t ma_cost_of(enum ma_mode mode, uint64_t bytes)
{
	return mode == MA_MODE_CLASSES ? ma_size_rate_of(bytes)->cost : bytes;
}

#endif
