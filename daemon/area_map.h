/* SPDX-License-Identifier: MIT */
/*
 * The shared area in the daemon's address space. Its file was made in the target, which may
 * truncate it under our feet: it is sealed against that where it lets itself be sealed, and
 * everywhere else a SIGBUS on it is answered with a page of zeros and a note that the area is lost.
 */
#ifndef MA_DAEMON_AREA_MAP_H
#define MA_DAEMON_AREA_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"
#include "proto/error.h"

enum { MA_AREA_MAPS = 128 }; /* mapped at a time */

/* Zero-initialise before mapping. */
struct ma_area_map {
	struct ma_area *area; /* NULL: not mapped */
	uint64_t bytes;
	struct ma_area_ident ident; /* checked copy of the first page */
	int guard;                  /* slot in the table of guarded ranges */
};

/*
 * Maps the memfd area_fd (borrowed) and checks its first page. Errors: MA_ERR_PROTOCOL when it is
 * no memfd of ours, MA_ERR_FAILED when mapping fails. Daemon loop.
 */
int ma_area_map_open(struct ma_area_map *map, int area_fd, struct ma_error *error);

/* Unmaps; zeroed and closed maps are accepted. */
void ma_area_map_close(struct ma_area_map *map);

/* Touches rings, filter and live set, so that their pages are charged to us, not to the target. */
void ma_area_map_touch(struct ma_area_map *map);

/* Gives the memory back that nothing needs once the target is gone: all but the tables, the
 * counters and the exact mode's sites. Only for an area that no process uses any longer. */
void ma_area_map_shrink(struct ma_area_map *map);

/* Has the area been cut off (see above)? */
bool ma_area_map_is_lost(const struct ma_area_map *map);

/* Installs and removes the process-wide SIGBUS handler. */
int ma_area_guard_install(struct ma_error *error);
void ma_area_guard_remove(void);

#endif
