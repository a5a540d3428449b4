/* SPDX-License-Identifier: MIT */
/*
 * What was live when a session ended, by site and time of birth, so that "held longer than" can be
 * asked of a process that is gone while its shared memory, which may be as large as its heap was,
 * is given back. Births are told apart to 1/256 of the time that was watched.
 */
#ifndef MA_DAEMON_LEDGER_H
#define MA_DAEMON_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/heap_state.h"
#include "daemon/idmap.h"
#include "daemon/shared_windows.h"

enum { MA_LEDGER_BIRTHS = 256 };

struct ma_ledger_entry; /* live allocations of one site born at about the same time */

/* What those of all sites have in common that were born at about the same time. */
struct ma_ledger_birth {
	struct ma_shared shared;
	uint32_t latest_ms;
};

/* Zero-initialise, then use. */
struct ma_ledger {
	struct ma_ledger_entry *entries;
	uint32_t count;
	uint32_t room;
	uint32_t span_ms;      /* births lie in 0 .. span_ms */
	struct ma_idmap index; /* site and birth -> entry */
	uint64_t left_out;     /* allocations for which there was no memory */
	struct ma_ledger_birth births[MA_LEDGER_BIRTHS];
	struct ma_shared_windows windows; /* while it is filled */
};

/* Prepares for births up to now; then add every live allocation, and end. Daemon loop, as all here.
 */
void ma_ledger_begin(struct ma_ledger *ledger, uint32_t now_ms);
void ma_ledger_add(struct ma_ledger *ledger, const struct ma_heap_sample *sample);
void ma_ledger_end(struct ma_ledger *ledger);

/* Counts as live in `held` (an empty state) what was born up to latest_birth_ms. */
void ma_ledger_held(const struct ma_ledger *ledger, uint32_t latest_birth_ms,
		    struct ma_heap_state *held);

void ma_ledger_fini(struct ma_ledger *ledger);

#endif
