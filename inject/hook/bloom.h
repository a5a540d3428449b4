/* SPDX-License-Identifier: MIT */
/*
 * The filter in front of the live set and the code map: one word of memory tells of nearly every
 * freed address that it is in neither. The generation that is read is the daemon's choice; what is
 * added goes into both, so that the daemon can rebuild one of them at any time (proto/area.h).
 */
#ifndef MA_HOOK_BLOOM_H
#define MA_HOOK_BLOOM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

/* May this address be in the live set or the code map? Any thread. */
static inline bool ma_bloom_may_hold(const struct ma_area *area, uint64_t address)
{
	uint32_t current = __atomic_load_n(&area->control.bloom_current, __ATOMIC_RELAXED) & 1;
	uint64_t hash = ma_address_hash(address);
	uint64_t bits = ma_bloom_bits(hash);
	uint64_t word =
		__atomic_load_n(&area->bloom[current][ma_bloom_word(hash)], __ATOMIC_RELAXED);

	return (word & bits) == bits;
}

/* Adds an address, after it was entered where it belongs. Any thread. */
static inline void ma_bloom_add(struct ma_area *area, uint64_t address)
{
	uint64_t hash = ma_address_hash(address);
	uint64_t bits = ma_bloom_bits(hash);

	for (int generation = 0; generation < 2; generation++)
		__atomic_fetch_or(&area->bloom[generation][ma_bloom_word(hash)], bits,
				  __ATOMIC_SEQ_CST);
}

#endif
