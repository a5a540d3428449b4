/* SPDX-License-Identifier: MIT */
/*
 * The daemon's side of an unwind area (proto/unwind.h): tables are appended to it, indexes are
 * published in it. The memfd was made in the target, which has it mapped for reading; sealed, it
 * can neither be cut off nor be mapped for writing by anybody else.
 */
#ifndef MA_DAEMON_UNWIND_AREA_H
#define MA_DAEMON_UNWIND_AREA_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/unwind_table.h"
#include "proto/error.h"
#include "proto/unwind.h"

/* A table that is in the area already: the same file may be mapped more than once. */
struct ma_unwind_placed {
	uint8_t hash[MA_SHA256_BYTES];
	uint64_t at;
};

/* Zero-initialise before opening. */
struct ma_unwind_area_map {
	struct ma_unwind_area *area; /* NULL: not mapped */
	uint64_t used;               /* end of what was appended */
	struct ma_unwind_placed *placed;
	uint32_t placed_count, placed_room;
	uint32_t current; /* as in the area, which is not read back */
	uint32_t sequence[MA_UNWIND_INDEXES];
};

/* Maps the memfd (borrowed), seals it and makes its head. Errors: MA_ERR_PROTOCOL (it is no memfd
 * of the right size, or cannot be sealed), MA_ERR_FAILED. Daemon loop, as everything here. */
int ma_unwind_area_open(struct ma_unwind_area_map *map, int fd, struct ma_error *error);

/* Unmaps; zeroed and closed ones are accepted. */
void ma_unwind_area_close(struct ma_unwind_area_map *map);

/* Puts a table in, unless it is there. Where it is; 0: no room is left. */
uint64_t ma_unwind_area_place(struct ma_unwind_area_map *map,
			      const struct ma_unwind_table_view *table);

/* Publishes which modules and stacks there are, both ascending; what is too much is left out. */
void ma_unwind_area_publish(struct ma_unwind_area_map *map, const struct ma_unwind_module *modules,
			    uint32_t module_count, const struct ma_unwind_stack *stacks,
			    uint32_t stack_count);

#endif
