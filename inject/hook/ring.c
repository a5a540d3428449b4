/* SPDX-License-Identifier: MIT */
/*
 * Claiming and writing. One release store of the head publishes an event, so that an unfinished one
 * is never seen and a thread that dies in here blocks no reader; its claim is freed by the daemon.
 */
#include "inject/hook/ring.h"

#include "inject/hook/cpu.h"

enum { CLAIM_ROUNDS = 3 };

static bool try_claim(struct ma_ring *ring, uint32_t tid, bool left_behind)
{
	uint32_t holder = __atomic_load_n(&ring->claim, __ATOMIC_RELAXED);

	if (holder == tid)
		return left_behind;
	return !holder && __atomic_compare_exchange_n(&ring->claim, &holder, tid, false,
						      __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

struct ma_ring *ma_ring_claim(struct ma_area *area, uint32_t tid, uint32_t preferred,
			      bool left_behind)
{
	for (int round = 0; round < CLAIM_ROUNDS; round++) {
		for (uint32_t i = 0; i < MA_RINGS; i++) {
			struct ma_ring *ring = &area->rings[(preferred + i) % MA_RINGS];

			if (try_claim(ring, tid, left_behind))
				return ring;
		}
		ma_cpu_pause();
	}
	return NULL;
}

void ma_ring_release(struct ma_ring *ring, uint32_t tid)
{
	/* The claim may have been taken from a thread that was thought dead. */
	if (__atomic_load_n(&ring->claim, __ATOMIC_RELAXED) == tid)
		__atomic_store_n(&ring->claim, 0, __ATOMIC_RELEASE);
}

bool ma_ring_has_room(const struct ma_ring *ring, uint32_t events)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
	uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

	return head - tail <= MA_RING_EVENTS - (uint64_t)events;
}

void ma_ring_push(struct ma_area *area, struct ma_ring *ring, const struct ma_event *event)
{
	uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_RELAXED);
	struct ma_event *slot = &ring->events[head % MA_RING_EVENTS];

	*slot = *event;
	slot->sequence = __atomic_add_fetch(&area->sequence, 1, __ATOMIC_RELAXED);
	__atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
}
