/* SPDX-License-Identifier: MIT */
/* See region_map.h. A sorted array: programs hold thousands of regions, not millions. */
#include "daemon/region_map.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 64 };

/* Index of the first piece that ends behind address. */
static size_t first_behind(const struct ma_region_map *map, uint64_t address)
{
	size_t low = 0, high = map->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (map->pieces[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static bool make_room(struct ma_region_map *map)
{
	if (map->count < map->room)
		return true;
	if (map->count >= MA_REGION_LIMIT)
		return false;
	size_t room = map->room ? map->room * 2 : FIRST_ROOM;
	struct ma_region_piece *pieces = realloc(map->pieces, room * sizeof *pieces);
	if (!pieces)
		return false;
	map->pieces = pieces;
	map->room = room;
	return true;
}

static void insert(struct ma_region_map *map, size_t at, struct ma_region_piece piece)
{
	memmove(&map->pieces[at + 1], &map->pieces[at], (map->count - at) * sizeof *map->pieces);
	map->pieces[at] = piece;
	map->count++;
}

static void erase(struct ma_region_map *map, size_t at, size_t count)
{
	if (count == 0)
		return;
	memmove(&map->pieces[at], &map->pieces[at + count],
		(map->count - at - count) * sizeof *map->pieces);
	map->count -= count;
}

/* A range inside one piece goes; what is left of it behind the range becomes a piece of its own.
 * Without room for that, the rest goes too: too little is better than a phantom for ever. */
static void split(struct ma_region_map *map, size_t at, uint64_t start, uint64_t end,
		  ma_region_gone *gone, void *context)
{
	struct ma_region_piece rest = map->pieces[at];
	if (make_room(map)) {
		rest.start = end;
		rest.region->pieces++;
		map->pieces[at].end = start;
		insert(map, at + 1, rest);
	} else {
		end = rest.end;
		map->pieces[at].end = start;
		map->refused++;
	}
	gone(context, rest.region, end - start, false);
}

static uint64_t remove_range(struct ma_region_map *map, uint64_t start, uint64_t end,
			     ma_region_gone *gone, void *context)
{
	uint64_t removed = 0;
	size_t at = first_behind(map, start);
	if (at < map->count && map->pieces[at].start < start && map->pieces[at].end > end) {
		split(map, at, start, end, gone, context);
		return end - start;
	}
	if (at < map->count && map->pieces[at].start < start) {
		struct ma_region_piece *piece = &map->pieces[at++];
		uint64_t bytes = piece->end - start;
		piece->end = start;
		removed += bytes;
		gone(context, piece->region, bytes, false);
	}
	size_t first = at;
	for (; at < map->count && map->pieces[at].end <= end; at++) {
		struct ma_region_piece *piece = &map->pieces[at];
		bool last_part = --piece->region->pieces == 0;
		removed += piece->end - piece->start;
		gone(context, piece->region, piece->end - piece->start, last_part);
		if (last_part)
			free(piece->region);
	}
	if (at < map->count && map->pieces[at].start < end) {
		struct ma_region_piece *piece = &map->pieces[at];
		uint64_t bytes = end - piece->start;
		piece->start = end;
		removed += bytes;
		gone(context, piece->region, bytes, false);
	}
	erase(map, first, at - first);
	return removed;
}

/* The end of a range, or the end of the address space where it would wrap. */
static uint64_t end_of(uint64_t start, uint64_t size_bytes)
{
	return size_bytes > UINT64_MAX - start ? UINT64_MAX : start + size_bytes;
}

void ma_region_map_remove(struct ma_region_map *map, uint64_t start, uint64_t size_bytes,
			  ma_region_gone *gone, void *context)
{
	if (size_bytes)
		remove_range(map, start, end_of(start, size_bytes), gone, context);
}

bool ma_region_map_add(struct ma_region_map *map, uint64_t start, uint64_t size_bytes,
		       uint32_t site, uint32_t birth_ms, ma_region_gone *gone, void *context)
{
	uint64_t end = end_of(start, size_bytes);
	if (start >= end)
		return false;
	remove_range(map, start, end, gone, context);
	struct ma_region *region = make_room(map) ? malloc(sizeof *region) : NULL;
	if (!region) {
		map->refused++;
		return false;
	}
	*region = (struct ma_region){
		.size_bytes = end - start, .site = site, .birth_ms = birth_ms, .pieces = 1};
	insert(map, first_behind(map, start),
	       (struct ma_region_piece){.start = start, .end = end, .region = region});
	return true;
}

/* Reads "start-end " at the head of a line of /proc/PID/maps. */
static bool read_range(const char *line, uint64_t *start, uint64_t *end)
{
	char *rest;
	*start = strtoull(line, &rest, 16);
	if (rest == line || *rest != '-')
		return false;
	const char *second = rest + 1;
	*end = strtoull(second, &rest, 16);
	return rest != second && *rest == ' ' && *end > *start;
}

uint64_t ma_region_map_verify(struct ma_region_map *map, const char *text, ma_region_gone *gone,
			      void *context)
{
	uint64_t removed = 0, behind = 0; /* everything below `behind` was compared */
	const char *line = text;
	while (*line) {
		uint64_t start, end;
		if (!read_range(line, &start, &end) || start < behind)
			return removed;
		if (start > behind)
			removed += remove_range(map, behind, start, gone, context);
		behind = end;
		const char *newline = strchr(line, '\n');
		if (!newline)
			return removed;
		line = newline + 1;
	}
	if (behind)
		removed += remove_range(map, behind, UINT64_MAX, gone, context);
	return removed;
}

void ma_region_map_fini(struct ma_region_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		if (--map->pieces[i].region->pieces == 0)
			free(map->pieces[i].region);
	}
	free(map->pieces);
	*map = (struct ma_region_map){0};
}
