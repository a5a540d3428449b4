/* SPDX-License-Identifier: MIT */
/* See ingest.h. */
#include "daemon/ingest.h"

#include <stdlib.h>
#include <string.h>

#include "proto/area_check.h"

#define PRESSURE_PERMILLE 500                 /* a ring this full ends all patience */
#define LAST_SEQUENCE     (UINT64_C(1) << 63) /* no program lives to see it */

enum { HOLE_EVENTS = 256 }; /* leaving a hole costs as much as this many events */

bool ma_ingest_init(struct ma_ingest *ingest, uint64_t first)
{
	memset(ingest, 0, sizeof *ingest);
	ingest->next = first ? first : 1;
	ingest->window = calloc(MA_INGEST_WINDOW, sizeof *ingest->window);
	ingest->stages = calloc(MA_RINGS, sizeof *ingest->stages);
	if (ingest->window && ingest->stages)
		return true;
	ma_ingest_fini(ingest);
	return false;
}

void ma_ingest_fini(struct ma_ingest *ingest)
{
	free(ingest->window);
	free(ingest->stages);
	memset(ingest, 0, sizeof *ingest);
}

static struct ma_event *slot_of(struct ma_ingest *ingest, uint64_t sequence)
{
	return &ingest->window[sequence % MA_INGEST_WINDOW];
}

static void hand_on(struct ma_ingest *ingest, const struct ma_event *event, ma_ingest_sink *sink,
		    void *context)
{
	if (ma_event_check(event) != 0) {
		ingest->malformed++;
		return;
	}
	ingest->events++;
	sink(context, event);
}

/* Hands on everything up to the next missing number. */
static void drain(struct ma_ingest *ingest, ma_ingest_sink *sink, void *context)
{
	while (ingest->waiting) {
		struct ma_event *slot = slot_of(ingest, ingest->next);
		if (slot->sequence != ingest->next)
			return;
		hand_on(ingest, slot, sink, context);
		slot->sequence = 0;
		ingest->waiting--;
		ingest->next++;
		ingest->in_hole = false;
	}
}

static void place(struct ma_ingest *ingest, const struct ma_event *event, ma_ingest_sink *sink,
		  void *context)
{
	if (event->sequence < ingest->next) {
		ingest->late++;
		if (ingest->gaps)
			ingest->gaps--;
		hand_on(ingest, event, sink, context);
		return;
	}
	struct ma_event *slot = slot_of(ingest, event->sequence);
	if (slot->sequence == event->sequence) {
		ingest->malformed++;
		return;
	}
	*slot = *event;
	ingest->waiting++;
}

/* Moves what fits from one ring into the window. Returns how many events moved. */
static int advance(struct ma_ingest *ingest, struct ma_ring *ring, struct ma_ingest_stage *stage,
		   ma_ingest_sink *sink, void *context)
{
	if (stage->taken == stage->count) {
		uint64_t lost;
		stage->taken = 0;
		stage->count = ma_ring_take(ring, stage->events, MA_INGEST_STAGE, &lost);
		ingest->malformed += lost;
		if (stage->count < 0)
			stage->count = 0;
	}
	int moved = 0;
	while (stage->taken < stage->count) {
		const struct ma_event *event = &stage->events[stage->taken];
		bool possible = event->sequence != 0 && event->sequence < LAST_SEQUENCE;
		if (possible && event->sequence >= ingest->next &&
		    event->sequence - ingest->next >= MA_INGEST_WINDOW)
			break;
		if (possible)
			place(ingest, event, sink, context);
		else
			ingest->malformed++;
		stage->taken++;
		moved++;
	}
	return moved;
}

/* The smallest sequence number that is there; 0 = none. */
static uint64_t first_present(struct ma_ingest *ingest)
{
	if (ingest->waiting) {
		for (uint64_t i = 0; i < MA_INGEST_WINDOW; i++) {
			if (slot_of(ingest, ingest->next + i)->sequence == ingest->next + i)
				return ingest->next + i;
		}
	}
	uint64_t first = 0;
	for (int i = 0; i < MA_RINGS; i++) {
		const struct ma_ingest_stage *stage = &ingest->stages[i];
		if (stage->taken == stage->count)
			continue;
		uint64_t sequence = stage->events[stage->taken].sequence;
		if (first == 0 || sequence < first)
			first = sequence;
	}
	return first;
}

/* A number is missing and others are there. Gives it up when it is time; true: go on draining. */
static bool leave_hole(struct ma_ingest *ingest, uint64_t now_ms, bool impatient)
{
	uint64_t first = first_present(ingest);
	if (first <= ingest->next)
		return false;
	if (!ingest->in_hole) {
		ingest->in_hole = true;
		ingest->hole_since_ms = now_ms;
	}
	if (!impatient && now_ms - ingest->hole_since_ms < MA_INGEST_WAIT_MS)
		return false;
	ingest->gaps += first - ingest->next;
	ingest->next = first;
	ingest->in_hole = false;
	return true;
}

static int fill_permille(const struct ma_ring *ring)
{
	uint64_t ready = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) -
			 __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
	return ready > MA_RING_EVENTS ? 1000 : (int)(ready * 1000 / MA_RING_EVENTS);
}

int ma_ingest_poll(struct ma_ingest *ingest, struct ma_ring rings[MA_RINGS], uint64_t now_ms,
		   bool flush, ma_ingest_sink *sink, void *context)
{
	int fill = 0;
	for (int i = 0; i < MA_RINGS; i++) {
		int here = fill_permille(&rings[i]);
		fill = here > fill ? here : fill;
	}
	bool impatient = flush || fill >= PRESSURE_PERMILLE;
	int left = MA_INGEST_POLL_EVENTS;
	while (left > 0) {
		int moved = 0;
		for (int i = 0; i < MA_RINGS; i++)
			moved += advance(ingest, &rings[i], &ingest->stages[i], sink, context);
		drain(ingest, sink, context);
		left -= moved;
		if (moved)
			continue;
		if (!leave_hole(ingest, now_ms, impatient))
			break;
		left -= flush ? 0 : HOLE_EVENTS;
	}
	return fill;
}
