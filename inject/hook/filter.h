/* SPDX-License-Identifier: MIT */
/*
 * The filter in front of the live set and the code map: one word of memory tells of nearly every
 * freed address that it is in neither. Addresses can be taken out again, which matters: allocators
 * hand out the same few addresses over and over, so those that were sampled once are soon those
 * that are freed all the time.
 *
 * An address has a word and a tag of 13 bits, never 0. A word holds the tags of up to four
 * addresses, 16 bits each; where more than four meet, only how many they are, below a top lane of
 * 0xffff, which every tag matches. A tag may be in a word twice. Whoever enters an address takes it
 * out once.
 *
 * Addresses are kept in two tables, of which one is looked into: while they are few, a small one.
 * Either is right at any time, so that it does not matter when another thread sees the change.
 */
#ifndef MA_HOOK_FILTER_H
#define MA_HOOK_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

#define MA_FILTER_LANES   UINT64_C(0x0001000100010001)
#define MA_FILTER_CROWDED (UINT64_C(0xffff) << 48)

/* The number of a hash's word in the table of a form (struct ma_filter). */
static inline uint32_t ma_filter_word(uint64_t hash, uint32_t form)
{
	return ((uint32_t)(hash >> 48) >> (form & 31)) + (form >> 8);
}

static inline uint64_t ma_filter_tag(uint64_t hash)
{
	return (hash >> 32 & 0x3fff) | 1;
}

/*
 * May this address be in? Any thread. A lane of `difference` is 0 where the tags are equal, and
 * 0xc000 or more in the top lane of a crowded word; all others are 1 .. 0x3fff, and only to those
 * does adding 0x7fff set the lane's top bit.
 */
static inline bool ma_filter_may_hold(const struct ma_area *area, uint64_t address)
{
	uint64_t hash = ma_address_hash(address);
	uint32_t form = __atomic_load_n(&area->filter.form, __ATOMIC_RELAXED);
	uint64_t word =
		__atomic_load_n(&area->filter.words[ma_filter_word(hash, form)], __ATOMIC_RELAXED);
	uint64_t difference, different;

	/* Mostly nothing at all is there. */
	if (__builtin_expect(!word, 1))
		return false;
	difference = word ^ ma_filter_tag(hash) * MA_FILTER_LANES;
	different = (difference + 0x7fff * MA_FILTER_LANES) & 0x8000 * MA_FILTER_LANES;
	return different != 0x8000 * MA_FILTER_LANES;
}

/* Adds an address, after it was entered where it belongs. Lock-free; any thread. */
__attribute__((visibility("hidden"))) void ma_filter_add(struct ma_area *area, uint64_t address);

/* Takes one out, after it was taken out where it belongs. Lock-free; any thread. */
__attribute__((visibility("hidden"))) void ma_filter_remove(struct ma_area *area, uint64_t address);

#endif
