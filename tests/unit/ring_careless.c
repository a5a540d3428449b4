/* SPDX-License-Identifier: MIT */
#include "ring_careless.h"

struct ma_ring *careless_claim(struct ma_area *area, uint32_t tid, uint32_t preferred,
			       bool left_behind)
{
	struct ma_ring *ring = &area->rings[preferred];

	(void)left_behind;
	if (__atomic_load_n(&ring->claim, __ATOMIC_ACQUIRE))
		return NULL;
	__atomic_store_n(&ring->claim, tid, __ATOMIC_RELEASE);
	return ring;
}

void careless_push(struct ma_area *area, struct ma_ring *ring, const struct ma_event *event)
{
	uint64_t head = __atomic_fetch_add(&ring->head, 1, __ATOMIC_RELEASE);
	struct ma_event *slot = &ring->events[head % MA_RING_EVENTS];

	*slot = *event;
	slot->sequence = __atomic_fetch_add(&area->sequence, 1, __ATOMIC_RELAXED) + 1;
}

int careless_take(struct ma_ring *ring, struct ma_event *events, int max, uint64_t *lost)
{
	uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
	uint64_t ready = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - tail;
	int count = ready < (uint64_t)max ? (int)ready : max;

	*lost = 0;
	__atomic_store_n(&ring->tail, tail + (uint64_t)count, __ATOMIC_RELEASE);
	for (int i = 0; i < count; i++)
		events[i] = ring->events[(tail + (uint64_t)i) % MA_RING_EVENTS];
	return count;
}
