/* SPDX-License-Identifier: MIT */
/* Rings: claims, room, and several producers with a reader as the daemon has it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "inject/hook/ring.h"
#include "proto/area_check.h"

enum { PRODUCERS = 8, EACH = 60000, ALL = PRODUCERS * EACH };

static struct ma_area *area;

static int make(void **state)
{
	(void)state;
	if (area)
		munmap(area, MA_AREA_SAMPLED_BYTES);
	area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return area == MAP_FAILED ? -1 : 0;
}

static void test_claims(void **state)
{
	struct ma_ring *rings[MA_RINGS];

	(void)state;
	assert_ptr_equal(ma_ring_claim(area, 7, 5, false), &area->rings[5]);
	/* Not ours to use while another frame of this thread holds it; ours if none can. */
	assert_ptr_equal(ma_ring_claim(area, 7, 5, false), &area->rings[6]);
	assert_ptr_equal(ma_ring_claim(area, 7, 5, true), &area->rings[5]);
	assert_ptr_equal(ma_ring_claim(area, 8, 5, true), &area->rings[7]);
	ma_ring_release(&area->rings[5], 7);
	ma_ring_release(&area->rings[6], 8); /* not its holder */
	assert_int_equal(area->rings[5].claim, 0);
	assert_int_equal(area->rings[6].claim, 7);
	ma_ring_release(&area->rings[6], 7);
	ma_ring_release(&area->rings[7], 8);
	for (uint32_t i = 0; i < MA_RINGS; i++) {
		rings[i] = ma_ring_claim(area, 100 + i, 3, false);
		assert_ptr_equal(rings[i], &area->rings[(3 + i) % MA_RINGS]);
	}
	assert_null(ma_ring_claim(area, 999, 3, false));
}

static void test_room(void **state)
{
	struct ma_ring *ring = ma_ring_claim(area, 1, 0, false);
	struct ma_event event = {.address = 16, .size_bytes = 1, .kind = MA_EVENT_ALLOC};

	(void)state;
	for (int i = 0; i < MA_RING_EVENTS; i++) {
		assert_true(ma_ring_has_room(ring, 1));
		ma_ring_push(area, ring, &event);
	}
	assert_false(ma_ring_has_room(ring, 1));
	ring->tail = 1;
	assert_true(ma_ring_has_room(ring, 1));
	assert_false(ma_ring_has_room(ring, 2));
	/* A tail that cannot be right leaves no room. */
	ring->tail = ring->head + 1;
	assert_false(ma_ring_has_room(ring, 1));
	assert_int_equal(area->sequence, MA_RING_EVENTS);
}

static void *produce(void *argument)
{
	uint32_t tid = (uint32_t)(uintptr_t)argument;

	for (uint64_t i = 1; i <= EACH;) {
		/* All want the same ring, so that claims collide. */
		struct ma_ring *ring = ma_ring_claim(area, tid, 0, true);
		struct ma_event event = {.address = tid, .size_bytes = i, .kind = MA_EVENT_ALLOC};

		if (!ring)
			continue;
		if (ma_ring_has_room(ring, 1)) {
			ma_ring_push(area, ring, &event);
			i++;
		}
		ma_ring_release(ring, tid);
	}
	return NULL;
}

static void test_producers(void **state)
{
	static struct ma_event seen[ALL + 1], batch[512];
	pthread_t threads[PRODUCERS];
	uint64_t last[PRODUCERS + 1] = {0};
	uint32_t count = 0;

	(void)state;
	for (uintptr_t i = 0; i < PRODUCERS; i++)
		pthread_create(&threads[i], NULL, produce, (void *)(i + 1));
	while (count < ALL)
		for (int i = 0; i < MA_RINGS; i++) {
			uint64_t lost;
			int taken = ma_ring_take(&area->rings[i], batch, 512, &lost);

			assert_true(taken >= 0 && !lost);
			for (int j = 0; j < taken; j++) {
				assert_in_range(batch[j].sequence, 1, ALL);
				assert_int_equal(seen[batch[j].sequence].sequence, 0);
				seen[batch[j].sequence] = batch[j];
			}
			count += (uint32_t)taken;
		}
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	/* By sequence, each producer's events come in its own order, and none is missing. */
	for (int i = 1; i <= ALL; i++) {
		assert_int_equal(seen[i].size_bytes, last[seen[i].address] + 1);
		last[seen[i].address]++;
	}
	for (int i = 0; i < MA_RINGS; i++)
		assert_int_equal(area->rings[i].claim, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_claims, make),
		cmocka_unit_test_setup(test_room, make),
		cmocka_unit_test_setup(test_producers, make),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
