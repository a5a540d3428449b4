/* SPDX-License-Identifier: MIT */
/*
 * Exact mode's arena grows with the target's heap, page after page. A page that nobody has touched
 * costs the target a fault in which the kernel finds and clears it; so the daemon touches the pages
 * that are next before they are needed. Then the target's first touch finds them, and the kernel
 * maps those around it along with it.
 */
#ifndef MA_DAEMON_ARENA_AHEAD_H
#define MA_DAEMON_ARENA_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/area_map.h"

enum {
	MA_ARENA_AHEAD_MIN_PAGES = 256,  /* kept ready for a target at rest: 1 MiB */
	MA_ARENA_AHEAD_MAX_PAGES = 2048, /* and for one that grows as fast as it can: 8 MiB */
};

/* Zero-initialise. */
struct ma_arena_ahead {
	bool looked;
	uint32_t used;    /* pages of the arena, at the last look */
	uint32_t touched; /* pages from its beginning that were touched */
};

/*
 * Touches what is to be ready next. Nothing without an arena. Returns how much of what was ready
 * at the last look was taken since, in permille. Daemon loop.
 */
int ma_arena_ahead_poll(struct ma_arena_ahead *ahead, const struct ma_area_map *map);

#endif
