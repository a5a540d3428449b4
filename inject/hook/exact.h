/* SPDX-License-Identifier: MIT */
/*
 * Exact mode's heap state in the shared area (struct ma_exact): every live allocation in a shadow
 * of the heap, sums per site and in total, and the peak in O(1) per change. Every change happens
 * under one spin lock, held for some tens of nanoseconds; no call leaves this module while it is
 * held.
 */
#ifndef MA_HOOK_EXACT_H
#define MA_HOOK_EXACT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

#define MA_HIDDEN __attribute__((visibility("hidden")))

/* The state and what is not taken from shared memory at each step. */
struct ma_exact_heap {
	struct ma_exact *state;
	struct ma_counters *counters; /* samples, sample_frees, implicit_frees; under the lock */
	uint8_t *arena;               /* follows *state */
	uint32_t arena_pages;
	uint32_t directory_pages; /* of them, those at which a directory can begin */
};

/* Who is asking. nested: inside another hook frame of the same thread, which may hold the lock. */
struct ma_exact_caller {
	uint32_t tid;
	bool nested;
};

struct ma_exact_block {
	uint64_t size_bytes;
	uint32_t site;
	uint32_t birth_ms;
};

/*
 * Sets *heap up over an area of area_bytes bytes whose ident says how large the arena is. False
 * when the area has no room for exact mode.
 */
MA_HIDDEN bool ma_exact_init(struct ma_exact_heap *heap, struct ma_area *area, uint64_t area_bytes);

/*
 * Memory of the arena for what else is kept near the state: zeroed, on a page, sparse. NULL when it
 * would take more than a sixteenth of the arena. Before anything is entered.
 */
MA_HIDDEN void *ma_exact_reserve(const struct ma_exact_heap *heap, uint64_t bytes);

/* Can the shadow hold this address: not 0, a 16-byte step, below 2^47? Rotated, one comparison. */
static inline bool ma_exact_can_hold(uint64_t address)
{
	return (address >> MA_SHADOW_GRANULE_BITS | address << (64 - MA_SHADOW_GRANULE_BITS)) - 1 <
	       (UINT64_C(1) << (47 - MA_SHADOW_GRANULE_BITS)) - 1;
}

/* What a number names; NULL when it names nothing. */
static inline struct ma_exact_large *ma_exact_large(const struct ma_exact_heap *heap,
						    uint32_t number)
{
	uint32_t page;

	if (number - 1 >= MA_LARGES)
		return NULL;
	page = __atomic_load_n(&heap->state->larges[(number - 1) / MA_LARGES_A_PAGE],
			       __ATOMIC_ACQUIRE) -
	       1;
	if (page >= heap->arena_pages)
		return NULL;
	return (struct ma_exact_large *)(heap->arena + (uint64_t)page * MA_PAGE_BYTES) +
	       (number - 1) % MA_LARGES_A_PAGE;
}

/* What a shadow says. Not of one that is changed meanwhile. */
static inline struct ma_exact_block ma_exact_block(const struct ma_exact_heap *heap, uint64_t word)
{
	struct ma_exact_block block = {
		.site = ma_shadow_site(word),
		.size_bytes = ma_shadow_size(word),
		.birth_ms = (uint32_t)(word >> 32),
	};
	const struct ma_exact_large *large;

	if (__builtin_expect(block.size_bytes == MA_SHADOW_LARGE, 0)) {
		large = ma_exact_large(heap, block.birth_ms);
		block.size_bytes = large ? large->size_bytes : 0;
		block.birth_ms = large ? large->birth_ms : 0;
	}
	return block;
}

/* The shadow of an address; NULL when nothing near it was ever entered. Takes no lock. */
static inline struct ma_shadow *ma_exact_shadow(const struct ma_exact_heap *heap, uint64_t address)
{
	const uint32_t *slot;
	uint32_t page;

	if (__builtin_expect(!ma_exact_can_hold(address), 0))
		return NULL;
	page = __atomic_load_n(&heap->state->regions[address >> MA_SHADOW_REGION_BITS],
			       __ATOMIC_ACQUIRE) -
	       1;
	if (__builtin_expect(page >= heap->directory_pages, 0))
		return NULL;
	slot = (const uint32_t *)(heap->arena + (uint64_t)page * MA_PAGE_BYTES) +
	       (address >> MA_SHADOW_PAGE_BITS & (MA_SHADOW_PAGES - 1));
	page = __atomic_load_n(slot, __ATOMIC_ACQUIRE) - 1;
	if (__builtin_expect(page >= heap->arena_pages, 0))
		return NULL;
	return (struct ma_shadow *)(heap->arena + (uint64_t)page * MA_PAGE_BYTES) +
	       (address >> MA_SHADOW_GRANULE_BITS & (MA_SHADOW_SLOTS - 1));
}

/*
 * Enters an allocation of a site that is not 0. An address that is in already is freed first, and
 * counted as an implicit free. False when it could not be entered: the arena is used up, the
 * address is not one that the shadow can hold (16-byte steps below 2^47), or the caller is nested
 * in somebody who holds the lock.
 */
MA_HIDDEN bool ma_exact_enter(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
			      uint64_t address, const struct ma_exact_block *block);

/* The same, of an address whose shadow was looked up. */
MA_HIDDEN bool ma_exact_enter_at(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
				 uint64_t address, struct ma_shadow *shadow,
				 struct ma_exact_block block);

/*
 * Is this address in, and as what? Returns its shadow, for ma_exact_take, or NULL. Takes no lock:
 * for the address's owner.
 */
static inline struct ma_shadow *ma_exact_find(const struct ma_exact_heap *heap, uint64_t address,
					      struct ma_exact_block *block)
{
	struct ma_shadow *shadow = ma_exact_shadow(heap, address);

	if (!shadow)
		return NULL;
	*block = ma_exact_block(heap, __atomic_load_n(&shadow->word, __ATOMIC_ACQUIRE));
	return block->site ? shadow : NULL;
}

/*
 * Takes an allocation out, which ma_exact_find has found. False when it could not: the caller is
 * nested in somebody who holds the lock.
 */
MA_HIDDEN bool ma_exact_take(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
			     struct ma_shadow *shadow);

/* Undoes ma_exact_take: the block was not freed after all. */
MA_HIDDEN bool ma_exact_put_back(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
				 uint64_t address, const struct ma_exact_block *taken);

#endif
