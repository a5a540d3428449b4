/* SPDX-License-Identifier: MIT */
/*
 * The live set of sampled mode, in the shared area: which sampled allocations are not freed yet.
 * Lock-free; any thread of the target. Calls for one address never overlap, because the address has
 * one owner at a time: whoever got it from the allocator and has not given it back yet.
 */
#ifndef MA_HOOK_LIVE_H
#define MA_HOOK_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

#define MA_HIDDEN __attribute__((visibility("hidden")))

/* Bits of the answer of ma_live_enter; without ENTERED, its buckets are full. */
enum ma_live_outcome {
	MA_LIVE_ENTERED = 1,
	MA_LIVE_REPLACED = 2, /* the address was in already, as *old: a free that we did not see */
};

/*
 * Enters an allocation, after the real one was made. Returns bits of enum ma_live_outcome.
 * old NULL: the address is known not to be in.
 */
MA_HIDDEN int ma_live_enter(struct ma_live *live, uint64_t address,
			    const struct ma_live_entry *entry, struct ma_live_entry *old);

/*
 * Takes an allocation out, before it is really freed. domains is a mask of 1 << enum ma_domain: an
 * entry of another domain is left where it is. False: not there.
 */
MA_HIDDEN bool ma_live_take(struct ma_live *live, uint64_t address, uint32_t domains,
			    struct ma_live_entry *taken);

#endif
