/* SPDX-License-Identifier: MIT */
/*
 * One way to read the heap, whoever keeps it: in sampled mode the daemon's own sums, in exact mode
 * the hook's counters in shared memory, with the daemon's sums of mapped regions beside them.
 */
#ifndef MA_DAEMON_HEAP_VIEW_H
#define MA_DAEMON_HEAP_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/heap_state.h"
#include "proto/area.h"

/* All borrowed. */
struct ma_heap_view {
	const struct ma_heap_state *state;
	const struct ma_exact *exact; /* NULL in sampled mode */
	uint32_t site_count;          /* of the hook's tables; sites have ids 1 .. site_count */
};

/* The values of a site (or MA_HEAP_UNKNOWN, MA_HEAP_OTHER); false: nothing there. Daemon loop. */
bool ma_heap_view_site(const struct ma_heap_view *view, uint32_t site, struct ma_site_view *values);

/* The totals, and when the peak was. In exact mode the peak is that of the hook's total; regions
 * have the value that they had when the daemon saw it, at most one poll later. */
void ma_heap_view_total(const struct ma_heap_view *view, struct ma_site_view *values,
			uint32_t *peak_ms);

/* Ids to ask for, for a loop: id(0), id(1) .. id(count - 1); sites first, then the others. */
uint32_t ma_heap_view_count(const struct ma_heap_view *view);
uint32_t ma_heap_view_id(const struct ma_heap_view *view, uint32_t index);

#endif
