/* SPDX-License-Identifier: MIT */
/*
 * The memory regions that the program itself mapped (domain mmap) and has not unmapped: pieces of
 * address space, each belonging to the mapping that made it. munmap takes any range, so a piece may
 * be cut at either end or split in two; the mapping counts as one until its last piece is gone.
 */
#ifndef MA_DAEMON_REGION_MAP_H
#define MA_DAEMON_REGION_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MA_REGION_LIMIT = 1 << 16 }; /* pieces kept; mappings beyond are refused and counted */

/* One mapping, as it was made. */
struct ma_region {
	uint64_t size_bytes;
	uint32_t site;
	uint32_t birth_ms;
	uint32_t pieces; /* that are left of it */
	bool counted;    /* scratch of whoever goes through all pieces */
};

struct ma_region_piece {
	uint64_t start;
	uint64_t end; /* first address behind it */
	struct ma_region *region;
};

/* Zero-initialise, then use. */
struct ma_region_map {
	struct ma_region_piece *pieces; /* sorted by address, never overlapping */
	size_t count;
	size_t room;
	uint64_t refused; /* mappings not kept: too many, or no memory */
};

/* Told for each piece, or part of one, that goes: `bytes` of region; last_part: nothing is left. */
typedef void ma_region_gone(void *context, const struct ma_region *region, uint64_t bytes,
			    bool last_part);

/* A region was mapped. What it overlaps was replaced: gone is called for that first. Returns
 * whether it is kept. Daemon loop, as everything here. */
bool ma_region_map_add(struct ma_region_map *map, uint64_t start, uint64_t size_bytes,
		       uint32_t site, uint32_t birth_ms, ma_region_gone *gone, void *context);

/* A range was unmapped: gone is called for each part of it that was known. */
void ma_region_map_remove(struct ma_region_map *map, uint64_t start, uint64_t size_bytes,
			  ma_region_gone *gone, void *context);

/*
 * Compares with what the target really has mapped: text is the content of /proc/PID/maps. Parts of
 * regions that are mapped no longer are removed; a text that does not parse changes nothing.
 * Returns the bytes that were removed.
 */
uint64_t ma_region_map_verify(struct ma_region_map *map, const char *text, ma_region_gone *gone,
			      void *context);

void ma_region_map_fini(struct ma_region_map *map);

#endif
