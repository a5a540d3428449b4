/* SPDX-License-Identifier: MIT */
/*
 * Walks over everything that is live, straight from shared memory: the live set of sampled mode,
 * the shadow of the heap of exact mode. That is how age is asked for: the sums of a site do not
 * have it.
 */
#ifndef MA_DAEMON_LIVE_SCAN_H
#define MA_DAEMON_LIVE_SCAN_H

#include <stdint.h>

#include "daemon/heap_state.h"
#include "proto/area.h"

/* Told of each live allocation. */
typedef void ma_live_visit(void *context, uint64_t address, const struct ma_heap_sample *sample);

/* Every entry of the live set. About a millisecond. Daemon loop; the hook may run meanwhile. */
void ma_live_scan_sampled(const struct ma_area *area, ma_live_visit *visit, void *context);

/*
 * Every tracked granule of the shadow. arena_bytes: what is mapped behind struct ma_area. Reads as
 * much memory as the target's heap has. A shadow that refers to a page twice, as only a broken one
 * does, is left after as many pages as it can have.
 */
void ma_live_scan_exact(const struct ma_area *area, uint64_t arena_bytes, ma_live_visit *visit,
			void *context);

#endif
