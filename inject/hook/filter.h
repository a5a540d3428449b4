/* SPDX-License-Identifier: MIT */
/*
 * The filter in front of the live set and the code map: one byte of memory tells of nearly every
 * freed address that it is in neither. Addresses can be taken out again, which matters: allocators
 * hand out the same few addresses over and over, so those that were sampled once are soon those
 * that are freed all the time.
 *
 * The byte counts the addresses that share it. There are few such bytes, so that they stay in the
 * caches beside a program that writes to much memory, and while few addresses are in, nearly all
 * are 0. One that has reached 255 stays so.
 *
 * Where it is not 0, a word decides. An address has a word and a tag of 13 bits, never 0. A word
 * holds the tags of up to four addresses, 16 bits each; where more than four meet, only how many
 * they are, below a top lane of 0xffff, which every tag matches. A tag may be in a word twice.
 * Whoever enters an address takes it out once.
 */
#ifndef MA_HOOK_FILTER_H
#define MA_HOOK_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

#define MA_FILTER_LANES   UINT64_C(0x0001000100010001)
#define MA_FILTER_CROWDED (UINT64_C(0xffff) << 48)

/*
 * The number of an address's count. Not by ma_address_hash: a multiplication by so few bits takes
 * one instruction. Addresses 4 GiB apart share a count, but not their words.
 */
static inline uint32_t ma_filter_count(uint64_t address)
{
	return (uint32_t)address * UINT32_C(0x9E3779B1) >> (32 - MA_FILTER_COUNT_BITS);
}

static inline uint32_t ma_filter_word(uint64_t hash)
{
	return (uint32_t)(hash >> 48);
}

static inline uint64_t ma_filter_tag(uint64_t hash)
{
	return (hash >> 32 & 0x3fff) | 1;
}

/*
 * May a word of this value hold an address of this hash? A lane of `difference` is 0 where the tags
 * are equal, and 0xc000 or more in the top lane of a crowded word; all others are 1 .. 0x3fff, and
 * only to those does adding 0x7fff set the lane's top bit.
 */
static inline bool ma_filter_matches(uint64_t word, uint64_t hash)
{
	uint64_t difference = word ^ ma_filter_tag(hash) * MA_FILTER_LANES;
	uint64_t different = (difference + 0x7fff * MA_FILTER_LANES) & 0x8000 * MA_FILTER_LANES;

	return different != 0x8000 * MA_FILTER_LANES;
}

/* May this address be in? Any thread. */
static inline bool ma_filter_may_hold(const struct ma_area *area, uint64_t address)
{
	const struct ma_filter *filter = &area->filter;
	uint64_t hash;

	if (__builtin_expect(
		    !__atomic_load_n(&filter->counts[ma_filter_count(address)], __ATOMIC_RELAXED),
		    1))
		return false;
	hash = ma_address_hash(address);
	return ma_filter_matches(
		__atomic_load_n(&filter->words[ma_filter_word(hash)], __ATOMIC_RELAXED), hash);
}

/* Asks for what ma_filter_add is going to change, so that it is there by then. */
static inline void ma_filter_expect(const struct ma_area *area, uint64_t address)
{
	__builtin_prefetch(&area->filter.words[ma_filter_word(ma_address_hash(address))], 1);
}

/* Adds an address, after it was entered where it belongs. Lock-free; any thread. */
__attribute__((visibility("hidden"))) void ma_filter_add(struct ma_area *area, uint64_t address);

/* Takes one out, after it was taken out where it belongs. Lock-free; any thread. */
__attribute__((visibility("hidden"))) void ma_filter_remove(struct ma_area *area, uint64_t address);

#endif
