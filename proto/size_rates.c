/* SPDX-License-Identifier: MIT */
/* See size_rates.h. */
#include "proto/size_rates.h"

#include <math.h>

enum { COST_BITS = 57 }; /* struct ma_size_rate */

struct ma_size_rate ma_size_rate_make(uint64_t below_bytes, double chance)
{
	double units = floor(chance * MA_RATE_ONE + 0.5);
	if (units >= MA_RATE_ONE)
		return (struct ma_size_rate){below_bytes, UINT64_MAX, 0, 0};
	if (units < 1)
		units = 1;
	return (struct ma_size_rate){
		.below_bytes = below_bytes,
		.cost = (uint64_t)(ldexp(-log1p(-units / MA_RATE_ONE), COST_BITS) + 0.5),
		.rate = MA_RATE_CHANCE | (uint32_t)units,
	};
}

double ma_size_rate_chance(uint32_t rate)
{
	return rate ? (double)(rate & ~MA_RATE_CHANCE) / MA_RATE_ONE : 1;
}
