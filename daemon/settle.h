/* SPDX-License-Identifier: MIT */
/*
 * When events were lost, the live sums are counted anew from the live set in shared memory, which
 * is always right. The target goes on meanwhile: an allocation that the scan saw may still have its
 * event in a ring, and so may the free of one that the scan came too late for. For a while after
 * the scan this table therefore knows every address that was counted, and decides for each event
 * what it changes; then it is given up, and events count by themselves again.
 */
#ifndef MA_DAEMON_SETTLE_H
#define MA_DAEMON_SETTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/heap_state.h"
#include "proto/area.h"

enum { MA_SETTLE_SLOTS = 1 << 18, MA_SETTLE_MS = 1000 };

struct ma_settle_slot; /* one counted allocation */

/* Zero-initialise, then use. */
struct ma_settle {
	struct ma_settle_slot *slots; /* NULL: nothing to settle */
	uint32_t used;                /* slots that are or were taken */
	uint64_t until_sequence;      /* over once these events are through ... */
	uint32_t until_ms;            /* ... and this time has come */
};

/* Gets the memory. false: there is none, and nothing may be begun. Daemon loop, as all here. */
bool ma_settle_prepare(struct ma_settle *settle);

/*
 * Begins: every allocation of the live set is counted into the state (between its rebuild_begin and
 * rebuild_end, which the caller calls) and remembered.
 */
void ma_settle_begin(struct ma_settle *settle, const struct ma_area *area, uint32_t clock_ms,
		     struct ma_heap_state *state);

/* Is a settling under way? */
static inline bool ma_settle_active(const struct ma_settle *settle)
{
	return settle->slots != NULL;
}

/* Applies an ALLOC, FREE or FREE_IMPLICIT event to the state, as far as it is news. Only while a
 * settling is under way; may end it. */
void ma_settle_event(struct ma_settle *settle, const struct ma_event *event,
		     struct ma_heap_state *state);

/* Ends the settling when its time has come. next_sequence: of the first event not handed on yet. */
void ma_settle_tick(struct ma_settle *settle, uint64_t next_sequence, uint32_t clock_ms);

void ma_settle_fini(struct ma_settle *settle);

#endif
