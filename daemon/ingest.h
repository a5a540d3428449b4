/* SPDX-License-Identifier: MIT */
/*
 * Takes the events out of the rings of one target and hands them on in the order in which they
 * happened. Each event carries a process-wide sequence number; events of several rings are sorted
 * by it in a window. A number that is missing belongs to a thread that was interrupted before it
 * could publish: it is waited for, though not for long, then counted as a gap. An event that comes
 * after all is handed on late, because sums need it more than order.
 */
#ifndef MA_DAEMON_INGEST_H
#define MA_DAEMON_INGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

enum {
	MA_INGEST_WINDOW = 1 << 14,      /* sequence numbers sorted at a time; a power of two */
	MA_INGEST_STAGE = 128,           /* events taken from a ring at a time */
	MA_INGEST_WAIT_MS = 200,         /* patience for a missing sequence number */
	MA_INGEST_POLL_EVENTS = 1 << 18, /* events of one poll; the rest waits for the next */
};

/* Events taken from one ring that do not fit into the window yet. */
struct ma_ingest_stage {
	struct ma_event events[MA_INGEST_STAGE];
	int count;
	int taken;
};

struct ma_ingest {
	struct ma_event *window; /* slot: sequence % MA_INGEST_WINDOW; sequence 0 = empty */
	struct ma_ingest_stage *stages;
	uint64_t next;    /* the sequence number that comes next */
	uint32_t waiting; /* events in the window */
	bool in_hole;
	uint64_t hole_since_ms;
	uint64_t events;    /* handed on since the start */
	uint64_t gaps;      /* sequence numbers that never came */
	uint64_t late;      /* came after they had been given up */
	uint64_t malformed; /* records that failed their check, rings that were reset */
};

/* Receives each event, checked. */
typedef void ma_ingest_sink(void *context, const struct ma_event *event);

/* first: the sequence number of the first event, 1 for a new area. false: no memory. */
bool ma_ingest_init(struct ma_ingest *ingest, uint64_t first);
void ma_ingest_fini(struct ma_ingest *ingest);

/*
 * Takes what is there. now_ms is a monotonic time; flush: wait for nothing, as nothing more will
 * come. Returns the largest fill of a ring that was met, in 1/1000. Daemon loop.
 */
int ma_ingest_poll(struct ma_ingest *ingest, struct ma_ring rings[MA_RINGS], uint64_t now_ms,
		   bool flush, ma_ingest_sink *sink, void *context);

#endif
