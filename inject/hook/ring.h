/* SPDX-License-Identifier: MIT */
/*
 * The producer's side of the event rings in the shared area. A ring is claimed for a moment, mostly
 * without a contender: there are more rings than threads that are in a slow path at once. Whoever
 * holds a claim also has the ring's scratch words. Lock-free; any thread of the target.
 */
#ifndef MA_HOOK_RING_H
#define MA_HOOK_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

#define MA_HIDDEN __attribute__((visibility("hidden")))

/*
 * Claims a ring for thread `tid`, preferably number `preferred` modulo MA_RINGS. left_behind: a
 * claim that carries tid already was left behind by a hook frame that never returned, and may be
 * used. NULL when every ring is claimed.
 */
MA_HIDDEN struct ma_ring *ma_ring_claim(struct ma_area *area, uint32_t tid, uint32_t preferred,
					bool left_behind);
MA_HIDDEN void ma_ring_release(struct ma_ring *ring, uint32_t tid);

/* Is there room for `events` more? Only the claim's holder may ask; room never shrinks for it. */
MA_HIDDEN bool ma_ring_has_room(const struct ma_ring *ring, uint32_t events);

/*
 * Writes and publishes one event, giving it the next sequence number. The caller holds the claim
 * and has seen that there is room.
 */
MA_HIDDEN void ma_ring_push(struct ma_area *area, struct ma_ring *ring,
			    const struct ma_event *event);

#endif
