/* SPDX-License-Identifier: MIT */
/*
 * The ring's protocol, as it is written (hook/ring.c, the reader in area_check.c, the daemon's
 * ring_claims.c), under every interleaving of its memory accesses: no event that was published is
 * lost, read twice or read half written, and a thread that dies with a claim costs nobody else
 * anything. Each of four careless variants must be seen to fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "daemon/ring_claims.h"
#include "daemon/threads.h"
#include "inject/hook/ring.h"
#include "proto/area_check.h"
#include "ring_careless.h"
#include "weave.h"

enum {
	FIRST_TID = 100,
	SOMEBODY = 999, /* holds all rings but the first, so that all want that one */
	PRODUCERS = 2,
	MOST_EVENTS = 3,      /* of one producer */
	START = 4 * 4096 - 1, /* of the head: the slots go from the last to the first */
	BATCH = 4,
};

static struct ma_area *area;
static struct ma_ring *ring;

/* How this exploration goes. */
static struct {
	int events[PRODUCERS];
	int takes;
	uint64_t held; /* events that were there before */
	bool lies;     /* about who is alive */
	struct ma_ring *(*claim)(struct ma_area *, uint32_t, uint32_t, bool);
	void (*push)(struct ma_area *, struct ma_ring *, const struct ma_event *);
	int (*take)(struct ma_ring *, struct ma_event *, int, uint64_t *);
} how;

/* What came about in this run. */
static struct {
	bool pushed[PRODUCERS][MOST_EVENTS + 1];
	uint64_t seen[PRODUCERS][MOST_EVENTS + 1]; /* the sequence number, 0 = not seen */
	int last[PRODUCERS];
	uint64_t old_seen;
	const char *wrong;
	struct ma_ring_claims claims;
} run;

bool ma_threads_is_alive(int proc_fd, uint32_t tid)
{
	(void)proc_fd;
	return tid == SOMEBODY || (!how.lies && !weave_is_dead((int)tid - FIRST_TID));
}

static struct ma_event old_event(void)
{
	return (struct ma_event){.sequence = 1,
				 .address = SOMEBODY,
				 .size_bytes = 1,
				 .kind = MA_EVENT_ALLOC,
				 .domain = MA_DOMAIN_MALLOC};
}

/* Of the last slot and the first ones: what a run may have changed. */
static void set_up(void)
{
	memset(&run, 0, sizeof(run));
	area->sequence = 1;
	ring->claim = 0;
	ring->head = START;
	ring->tail = START - how.held;
	for (uint64_t i = 0; i < BATCH; i++) {
		ring->events[(START + i) % MA_RING_EVENTS] = old_event();
		ring->events[(ring->tail + i) % MA_RING_EVENTS] = old_event();
	}
}

static void produce(int producer)
{
	uint32_t tid = FIRST_TID + (uint32_t)producer;

	for (int i = 1; i <= how.events[producer]; i++) {
		struct ma_ring *claimed = how.claim(area, tid, 0, false);
		struct ma_event event = {.address = tid,
					 .size_bytes = (uint64_t)i,
					 .kind = MA_EVENT_ALLOC,
					 .domain = MA_DOMAIN_MALLOC};

		if (!claimed)
			continue;
		if (ma_ring_has_room(claimed, 1)) {
			how.push(area, claimed, &event);
			run.pushed[producer][i] = true;
		}
		ma_ring_release(claimed, tid);
	}
}

static void first_producer(void)
{
	produce(0);
}

static void second_producer(void)
{
	produce(1);
}

static void note(const struct ma_event *event)
{
	int producer = (int)event->address - FIRST_TID;
	int number = (int)event->size_bytes;

	if (ma_event_check(event) || event->domain != MA_DOMAIN_MALLOC) {
		run.wrong = "an event was read half written";
	} else if (event->address == SOMEBODY) {
		run.old_seen++;
	} else if (producer < 0 || producer >= PRODUCERS || number < 1 ||
		   number > how.events[producer]) {
		run.wrong = "an event was read that nobody wrote";
	} else if (run.seen[producer][number]) {
		run.wrong = "an event was read twice";
	} else if (number < run.last[producer]) {
		run.wrong = "events of one thread were read in another order";
	} else {
		run.seen[producer][number] = event->sequence;
		run.last[producer] = number;
	}
}

static int take_some(int most)
{
	struct ma_event batch[BATCH];
	uint64_t lost;
	int count = how.take(ring, batch, most, &lost);

	if (count < 0 || lost)
		run.wrong = "the reader lost count";
	for (int i = 0; i < count && !run.wrong; i++)
		note(&batch[i]);
	return count;
}

static void read_all(void)
{
	for (int i = 0; i < how.takes; i++)
		take_some(2);
}

/* The daemon: it reads, and looks for claims that were left. */
static void serve(void)
{
	for (int i = 0; i < how.takes; i++) {
		take_some(2);
		ma_ring_claims_look(&run.claims, area->rings, -1);
	}
}

static const char *check(void)
{
	while (!run.wrong && take_some(BATCH) > 0)
		;
	for (int p = 0; p < PRODUCERS && !run.wrong; p++)
		for (int i = 1; i <= how.events[p] && !run.wrong; i++) {
			if (run.pushed[p][i] && !run.seen[p][i])
				run.wrong = "an event that was published is lost";
			for (int j = 1; j <= how.events[!p]; j++)
				if (run.seen[p][i] && run.seen[p][i] == run.seen[!p][j])
					run.wrong = "two events have one number";
		}
	if (!run.wrong && run.old_seen != how.held)
		run.wrong = "events of before were lost or read twice";
	/* Whatever was left is freed at the second look from now on. */
	for (int i = 0; i < 2; i++)
		ma_ring_claims_look(&run.claims, area->rings, -1);
	if (!run.wrong && ring->claim)
		run.wrong = "the ring stays claimed";
	return run.wrong;
}

static struct weave_result explore(const struct weave_case *given)
{
	struct weave_case test = *given;
	struct weave_result result;

	test.setup = set_up;
	test.check = check;
	test.shared[0].start = ring;
	test.shared[0].bytes = sizeof(*ring);
	test.shared[1].start = &area->sequence;
	test.shared[1].bytes = sizeof(area->sequence);
	test.state[0] = test.shared[1];
	test.state[1].start = ring;
	test.state[1].bytes = offsetof(struct ma_ring, frames);
	test.state[2].start = &ring->events[START % MA_RING_EVENTS];
	test.state[2].bytes = sizeof(struct ma_event);
	test.state[3].start = ring->events;
	test.state[3].bytes = BATCH * sizeof(struct ma_event);
	weave_explore(&test, &result);
	print_message("  %llu states, %llu runs, %llu of them to an end: %s\n",
		      (unsigned long long)result.states, (unsigned long long)result.runs,
		      (unsigned long long)result.ends, result.broken ? result.broken : "clean");
	return result;
}

static int as_it_is(void **state)
{
	(void)state;
	memset(&how, 0, sizeof(how));
	how.events[0] = 2;
	how.events[1] = 1;
	how.takes = 2;
	how.claim = ma_ring_claim;
	how.push = ma_ring_push;
	how.take = ma_ring_take;
	return 0;
}

static const struct weave_case two_and_a_reader = {
	.threads = 3, .thread = {first_producer, second_producer, read_all}};
static const struct weave_case one_and_a_reader = {.threads = 2,
						   .thread = {first_producer, read_all}};
static const struct weave_case one_may_die = {
	.threads = 3, .thread = {first_producer, second_producer, serve}, .mortal = 1};

static void is_clean(const struct weave_case *test)
{
	struct weave_result result = explore(test);

	assert_null(result.broken);
	assert_true(result.ends > 0 && result.states > 100);
}

static void is_seen_to_fail(const struct weave_case *test)
{
	assert_non_null(explore(test).broken);
}

static void test_two_producers(void **state)
{
	(void)state;
	is_clean(&two_and_a_reader);
}

/* A place is written again as soon as it was read. */
static void test_full_ring(void **state)
{
	(void)state;
	how.events[0] = MOST_EVENTS;
	for (how.held = MA_RING_EVENTS - 2; how.held <= MA_RING_EVENTS; how.held++)
		is_clean(&one_and_a_reader);
}

static void test_death_with_a_claim(void **state)
{
	(void)state;
	how.takes = 3;
	how.events[0] = 1;
	is_clean(&one_may_die);
}

static void test_careless_claim(void **state)
{
	(void)state;
	how.claim = careless_claim;
	is_seen_to_fail(&two_and_a_reader);
}

static void test_careless_push(void **state)
{
	(void)state;
	how.push = careless_push;
	is_seen_to_fail(&two_and_a_reader);
}

static void test_careless_take(void **state)
{
	(void)state;
	how.take = careless_take;
	how.events[0] = MOST_EVENTS;
	how.held = MA_RING_EVENTS;
	is_seen_to_fail(&one_and_a_reader);
}

static void test_claim_taken_from_the_living(void **state)
{
	(void)state;
	how.lies = true;
	how.takes = 3;
	is_seen_to_fail(&one_may_die);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_two_producers, as_it_is),
		cmocka_unit_test_setup(test_full_ring, as_it_is),
		cmocka_unit_test_setup(test_death_with_a_claim, as_it_is),
		cmocka_unit_test_setup(test_careless_claim, as_it_is),
		cmocka_unit_test_setup(test_careless_push, as_it_is),
		cmocka_unit_test_setup(test_careless_take, as_it_is),
		cmocka_unit_test_setup(test_claim_taken_from_the_living, as_it_is),
	};

	area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return 1;
	ring = &area->rings[0];
	for (int i = 1; i < MA_RINGS; i++)
		area->rings[i].claim = SOMEBODY;
	for (int i = 0; i < MA_RING_EVENTS; i++)
		ring->events[i] = old_event();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
