/* SPDX-License-Identifier: MIT */
/* Events come out in the order of their numbers, whatever ring they were in; gaps end the waiting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/ingest.h"

enum { KEPT = 300000 };

/* The rings, and what came out. */
struct bench {
	struct ma_ring *rings;
	struct ma_ingest ingest;
	uint64_t *seen;
	uint32_t count;
};

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof *bench);
	bench->rings = calloc(MA_RINGS, sizeof *bench->rings);
	bench->seen = calloc(KEPT, sizeof *bench->seen);
	assert_true(ma_ingest_init(&bench->ingest, 1));
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;
	ma_ingest_fini(&bench->ingest);
	free(bench->rings);
	free(bench->seen);
	free(bench);
	return 0;
}

static void keep(void *context, const struct ma_event *event)
{
	struct bench *bench = context;
	assert_true(bench->count < KEPT);
	bench->seen[bench->count++] = event->sequence;
}

static void push(struct bench *bench, int ring, uint64_t sequence)
{
	struct ma_ring *to = &bench->rings[ring];
	assert_true(to->head - to->tail < MA_RING_EVENTS);
	to->events[to->head % MA_RING_EVENTS] = (struct ma_event){.sequence = sequence,
								  .address = 4096,
								  .size_bytes = 16,
								  .rate = 65536,
								  .site = 1,
								  .kind = MA_EVENT_ALLOC,
								  .domain = MA_DOMAIN_MALLOC};
	to->head++;
}

static int poll_at(struct bench *bench, uint64_t now_ms)
{
	return ma_ingest_poll(&bench->ingest, bench->rings, now_ms, false, keep, bench);
}

static void assert_in_order(const struct bench *bench, uint32_t count)
{
	assert_int_equal(bench->count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(bench->seen[i], i + 1);
}

/* 60,000 events over 16 rings, in runs of random length, taken in by random portions. */
static void test_merges_rings(void **state)
{
	struct bench *bench = *state;
	uint64_t sequence = 0;
	srandom(5);
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 3000;) {
			int ring = (int)(random() % MA_RINGS);
			for (long run = random() % 100; run >= 0 && i < 3000; run--, i++)
				push(bench, ring, ++sequence);
		}
		poll_at(bench, (uint64_t)round);
	}
	assert_in_order(bench, 60000);
	assert_int_equal(bench->ingest.gaps, 0);
	assert_int_equal(bench->ingest.events, 60000);
}

/* One ring's whole backlog is older than everything in the others, by more than the window. */
static void test_backlog_beyond_window(void **state)
{
	struct bench *bench = *state;
	uint64_t sequence = 0;
	for (int ring = MA_RINGS - 1; ring >= 0; ring--) {
		for (int i = 0; i < MA_RING_EVENTS; i++)
			push(bench, ring, ++sequence);
	}
	assert_int_equal(poll_at(bench, 0), 1000);
	assert_in_order(bench, MA_RINGS * MA_RING_EVENTS);
	assert_int_equal(bench->ingest.gaps, 0);
}

/* In one ring out of order: a number was taken before the claim. */
static void test_disorder_in_a_ring(void **state)
{
	struct bench *bench = *state;
	push(bench, 0, 2);
	push(bench, 0, 1);
	push(bench, 1, 4);
	push(bench, 0, 3);
	poll_at(bench, 0);
	assert_in_order(bench, 4);
}

static void test_waits_then_gives_up(void **state)
{
	struct bench *bench = *state;
	push(bench, 0, 1);
	push(bench, 1, 3);
	poll_at(bench, 1000);
	assert_int_equal(bench->count, 1);
	poll_at(bench, 1000 + MA_INGEST_WAIT_MS - 1);
	assert_int_equal(bench->count, 1);
	assert_int_equal(bench->ingest.gaps, 0);
	poll_at(bench, 1000 + MA_INGEST_WAIT_MS);
	assert_int_equal(bench->count, 2);
	assert_int_equal(bench->seen[1], 3);
	assert_int_equal(bench->ingest.gaps, 1);
	/* It comes after all: handed on late, and no longer a gap. */
	push(bench, 2, 2);
	poll_at(bench, 1001 + MA_INGEST_WAIT_MS);
	assert_int_equal(bench->seen[2], 2);
	assert_int_equal(bench->ingest.gaps, 0);
	assert_int_equal(bench->ingest.late, 1);
}

static void test_late_within_patience(void **state)
{
	struct bench *bench = *state;
	push(bench, 1, 2);
	poll_at(bench, 1000);
	push(bench, 0, 1);
	poll_at(bench, 1010);
	assert_in_order(bench, 2);
	/* The wait of the first hole must not shorten that of the next. */
	push(bench, 1, 4);
	poll_at(bench, 1000 + MA_INGEST_WAIT_MS + 50);
	assert_int_equal(bench->count, 2);
	push(bench, 0, 3);
	poll_at(bench, 1000 + MA_INGEST_WAIT_MS + 60);
	assert_in_order(bench, 4);
}

static void test_pressure_ends_patience(void **state)
{
	struct bench *bench = *state;
	for (uint64_t i = 0; i < MA_RING_EVENTS * 3 / 4; i++)
		push(bench, 3, 2 + i);
	poll_at(bench, 1000);
	assert_int_equal(bench->count, MA_RING_EVENTS * 3 / 4);
	assert_int_equal(bench->ingest.gaps, 1);
}

static void test_flush(void **state)
{
	struct bench *bench = *state;
	for (uint64_t i = 1; i <= 3000; i++)
		push(bench, (int)(i % 5), i * 1000);
	ma_ingest_poll(&bench->ingest, bench->rings, 0, true, keep, bench);
	assert_int_equal(bench->count, 3000);
	for (uint32_t i = 0; i < 3000; i++)
		assert_int_equal(bench->seen[i], (i + 1) * 1000);
	assert_int_equal(bench->ingest.gaps, 3000 * 999);
}

/* Whatever a hostile target writes, the poll returns and counts. */
static void test_nonsense(void **state)
{
	struct bench *bench = *state;
	push(bench, 0, 0);
	push(bench, 0, UINT64_MAX);
	push(bench, 0, UINT64_C(1) << 63);
	push(bench, 0, 1);
	push(bench, 0, 1);
	bench->rings[0].events[3].kind = 99;
	poll_at(bench, 0);
	assert_int_equal(bench->count, 0);
	assert_int_equal(bench->ingest.malformed, 5);
	bench->rings[7].head = UINT64_C(1) << 40;
	poll_at(bench, 0);
	assert_true(bench->ingest.malformed > 5);
	/* Numbers that jump: each costs little, and the loop ends. */
	for (uint64_t i = 0; i < MA_RING_EVENTS; i++)
		push(bench, 1, (i + 1) << 20);
	for (uint64_t i = 0; i < 100000 && bench->count < MA_RING_EVENTS; i++)
		poll_at(bench, i * MA_INGEST_WAIT_MS);
	assert_int_equal(bench->count, MA_RING_EVENTS);
	srandom(9);
	for (int i = 0; i < MA_RING_EVENTS; i++) {
		uint64_t wild = (uint64_t)random() << 33 ^ (uint64_t)random();
		push(bench, 2, i % 2 ? wild : wild & 0xffff);
	}
	for (uint64_t i = 0; i < 200; i++)
		poll_at(bench, 1000000000 + i * 1000);
	ma_ingest_poll(&bench->ingest, bench->rings, 0, true, keep, bench);
	assert_int_equal(bench->rings[2].head, bench->rings[2].tail);
	assert_int_equal(bench->ingest.waiting, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_merges_rings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backlog_beyond_window, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disorder_in_a_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waits_then_gives_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_within_patience, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pressure_ends_patience, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
