/* SPDX-License-Identifier: MIT */
/*
 * How many events a second the daemon takes in, on one core: rings are filled by hand, then the
 * time is taken from there to the heap state. Prints one line; with an argument, fails below that
 * many events a second.
 */
#include <stdio.h>
#include <stdlib.h>

#include "daemon/clock.h"
#include "daemon/heap_state.h"
#include "daemon/ingest.h"

enum { ROUNDS = 100, SITES = 20000, INTERVAL = 65536, RUN = 37 };

/* Allocations whose frees are still to come. */
struct pending {
	struct ma_event events[MA_RINGS * MA_RING_EVENTS];
	uint32_t count;
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
	if (pending->count > 30000 || (pending->count && pick(2))) {
		uint32_t at = pick(pending->count);
		event = pending->events[at];
		pending->events[at] = pending->events[--pending->count];
		event.kind = MA_EVENT_FREE;
	} else {
		event = (struct ma_event){.address = (sequence + 1) * 16,
					  .size_bytes = 1 + pick(1U << pick(20)),
					  .site = 1 + pick(SITES),
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
					.site = event->site,
					.rate = event->rate,
					.domain = event->domain,
					.coin = ma_halves_coin(event->address, event->clock_ms)};
	if (event->kind == MA_EVENT_ALLOC)
		ma_heap_state_alloc(context, &sample, event->clock_ms);
	else
		ma_heap_state_free(context, &sample);
}

int main(int count, char **arguments)
{
	static struct pending pending;
	struct ma_ring *rings = calloc(MA_RINGS, sizeof *rings);
	struct ma_heap_state *heap = calloc(1, sizeof *heap);
	struct ma_ingest ingest;
	if (!rings || !heap || !ma_ingest_init(&ingest, 1))
		return 1;
	ma_heap_state_init(heap, MA_HEAP_SITE_LIMIT);
	uint64_t sequence = 0, ns = 0;
	for (int round = 0; round < ROUNDS; round++) {
		sequence = fill(rings, &pending, sequence);
		uint64_t before = ma_clock_monotonic_ns();
		ma_ingest_poll(&ingest, rings, 0, false, take, heap);
		ns += ma_clock_monotonic_ns() - before;
	}
	double rate = (double)ingest.events * 1e9 / (double)ns;
	printf("%llu events, %.1f ns each, %.2f million a second\n",
	       (unsigned long long)ingest.events, (double)ns / (double)ingest.events, rate / 1e6);
	int lost = ingest.events != sequence || ingest.gaps || heap->unbalanced;
	ma_ingest_fini(&ingest);
	ma_heap_state_fini(heap);
	free(heap);
	free(rings);
	return lost || (count > 1 && rate < atof(arguments[1]));
}
