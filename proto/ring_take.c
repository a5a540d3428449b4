/* SPDX-License-Identifier: MIT */
/* The reader's side of a ring; hook/ring.c is the writers'. A file of its own, because tests build
 * both with what watches their memory accesses. */
#include "proto/area_check.h"
#include "proto/copy_words.h"

_Static_assert(sizeof(struct ma_event) % 8 == 0, "copied word by word");

int ma_ring_take(struct ma_ring *ring, struct ma_event *events, int max, uint64_t *lost)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
	uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
	uint64_t ready = head - tail;
	*lost = 0;
	if (ready > MA_RING_EVENTS) {
		/* How many there really were cannot be known; the ring held no more than these. */
		*lost = MA_RING_EVENTS;
		__atomic_store_n(&ring->tail, head, __ATOMIC_RELEASE);
		return MA_ERR_PROTOCOL;
	}
	int count = max < 0 ? 0 : max;
	if ((uint64_t)count > ready)
		count = (int)ready;
	for (int i = 0; i < count; i++) {
		const struct ma_event *from = &ring->events[(tail + (uint64_t)i) % MA_RING_EVENTS];
		ma_copy_words(&events[i], from, sizeof *from / sizeof(uint64_t));
	}
	if (count)
		__atomic_store_n(&ring->tail, tail + (uint64_t)count, __ATOMIC_RELEASE);
	return count;
}
