/* SPDX-License-Identifier: MIT */
/* Sampling by size class, as people write it and as the hook wants it. */
#ifndef MA_PROTO_SIZE_RATES_H
#define MA_PROTO_SIZE_RATES_H

#include <stdint.h>

#include "proto/area.h"

/* Chances below this could not be told in a record to better than a permille. */
#define MA_SIZE_RATE_LEAST 1e-6

/*
 * The class of sizes below below_bytes, each sampled with this chance (MA_SIZE_RATE_LEAST .. 1).
 * The chance is rounded to units of 1 / MA_RATE_ONE, so that cost and record mean the same one.
 */
struct ma_size_rate ma_size_rate_make(uint64_t below_bytes, double chance);

/* The chance of a class, of a rate from a record with MA_RATE_CHANCE, or 1 for rate 0. */
double ma_size_rate_chance(uint32_t rate);

#endif
