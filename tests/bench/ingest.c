/* SPDX-License-Identifier: MIT */
/*
 * How many events a second the daemon takes in, on one core: rings are filled by hand, then the
 * time is taken from there to the heap state, and how much memory that takes. Prints one line.
 *
 *     ma_bench_ingest [SITES [LIVE]]      default: 20000 sites, 30000 allocations live
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/heap_state.h"
#include "daemon/ingest.h"

enum { ROUNDS = 100, SITES = 20000, LIVE = 30000, INTERVAL = 65536, RUN = 37 };

/* Allocations whose frees are still to come. */
struct pending {
	struct ma_event *events;
	uint32_t count;
	uint32_t room; /* how many are alive in the long run */
	uint32_t sites;
};

static uint64_t state = 88172645463325252U;

static uint32_t pick(uint32_t bound)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 33) % bound;
}

static struct ma_event next_event(struct pending *pending, uint64_t sequence)
{
	struct ma_event event;
	/* Up to nearly as many as there may be, nothing is freed. */
	bool full = pending->count >= pending->room - 100;
	if (pending->count == pending->room || (full && pick(2))) {
		uint32_t at = pick(pending->count);
		event = pending->events[at];
		pending->events[at] = pending->events[--pending->count];
		event.kind = MA_EVENT_FREE;
	} else {
		event = (struct ma_event){.address = (sequence + 1) * 16,
					  .size_bytes = 1 + pick(1U << pick(20)),
					  .site = 1 + pick(pending->sites),
					  .rate = INTERVAL,
					  .kind = MA_EVENT_ALLOC,
					  .domain = MA_DOMAIN_MALLOC};
		pending->events[pending->count++] = event;
	}
	event.sequence = sequence;
	return event;
}

/* Threads take turns, each with some events in a row, until a ring is full. */
static uint64_t fill(struct ma_ring *rings, struct pending *pending, uint64_t sequence)
{
	for (uint32_t ring = 0;; ring = (ring + 1) % MA_RINGS) {
		for (int i = 0; i < RUN; i++) {
			struct ma_ring *to = &rings[ring];
			if (to->head - to->tail == MA_RING_EVENTS)
				return sequence;
			to->events[to->head % MA_RING_EVENTS] = next_event(pending, ++sequence);
			to->head++;
		}
	}
}

static void take(void *context, const struct ma_event *event)
{
	struct ma_heap_sample sample = {.size_bytes = event->size_bytes,
					.birth_ms = event->clock_ms,
					.site = event->site,
					.rate = event->rate,
					.domain = event->domain,
					.coin = ma_halves_coin(event->address, event->clock_ms)};
	if (event->kind == MA_EVENT_ALLOC)
		ma_heap_state_alloc(context, &sample, event->clock_ms);
	else
		ma_heap_state_free(context, &sample);
}

/* Of this thread: what others do to the machine is not the daemon's. */
static uint64_t cpu_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static size_t heap_bytes(void)
{
	struct mallinfo2 info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

int main(int count, char **arguments)
{
	struct pending pending = {
		.sites = count > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : SITES,
		.room = count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : LIVE,
	};
	if (pending.sites == 0 || pending.room < 1000)
		return 2;
	pending.events = malloc(pending.room * sizeof *pending.events);
	struct ma_ring *rings = calloc(MA_RINGS, sizeof *rings);
	size_t before_bytes = heap_bytes();
	struct ma_heap_state *heap = calloc(1, sizeof *heap);
	struct ma_ingest ingest;
	if (!pending.events || !rings || !heap || !ma_ingest_init(&ingest, 1))
		return 1;
	ma_heap_state_init(heap, MA_HEAP_SITE_LIMIT);
	uint64_t sequence = 0, ns = 0, measured = 0;
	for (int round = 0; round < ROUNDS;) {
		bool warm = pending.count >= pending.room - 100;
		uint64_t first = sequence;
		sequence = fill(rings, &pending, sequence);
		uint64_t before = cpu_ns();
		ma_ingest_poll(&ingest, rings, 0, false, take, heap);
		if (!warm)
			continue;
		ns += cpu_ns() - before;
		measured += sequence - first;
		round++;
	}
	printf("%u sites, %u live: %llu events, %.1f ns each, %.2f million a second, %zu KiB\n",
	       pending.sites, pending.count, (unsigned long long)measured,
	       (double)ns / (double)measured, (double)measured * 1e3 / (double)ns,
	       (heap_bytes() - before_bytes) / 1024);
	int lost = ingest.events != sequence || ingest.gaps || heap->unbalanced;
	ma_ingest_fini(&ingest);
	ma_heap_state_fini(heap);
	free(pending.events);
	free(heap);
	free(rings);
	return lost;
}
