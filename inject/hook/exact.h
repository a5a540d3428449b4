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

/*
 * Enters an allocation of a site that is not 0. An address that is in already is freed first, and
 * counted as an implicit free. False when it could not be entered: the arena is used up, the
 * address is not one that the shadow can hold (16-byte steps below 2^47), or the caller is nested
 * in somebody who holds the lock.
 */
MA_HIDDEN bool ma_exact_enter(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
			      uint64_t address, const struct ma_exact_block *block);

/*
 * Is this address in, and as what? Returns its shadow, for ma_exact_take, or NULL. Takes no lock:
 * for the address's owner.
 */
MA_HIDDEN struct ma_shadow *ma_exact_find(const struct ma_exact_heap *heap, uint64_t address,
					  struct ma_exact_block *block);

/*
 * Takes an allocation out, as ma_exact_find has found it. False when it could not: the caller is
 * nested in somebody who holds the lock.
 */
MA_HIDDEN bool ma_exact_take(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
			     struct ma_shadow *shadow, const struct ma_exact_block *block);

/* Undoes ma_exact_take: the block was not freed after all. */
MA_HIDDEN bool ma_exact_put_back(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
				 uint64_t address, const struct ma_exact_block *taken);

#endif
