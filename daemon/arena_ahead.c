/* SPDX-License-Identifier: MIT */
/*
 * How much is kept ready follows from what was taken since the last look: it should last for some
 * looks like that. How far the hook is, is read from memory that the target can write to, so it
 * is bounded by the size of the mapping; at worst pages are touched that nobody needs.
 */
#include "daemon/arena_ahead.h"

#include <sys/mman.h>

enum {
	LOOKS_AHEAD = 8,
	PERMILLE = 1000,
};

static uint32_t least(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

static void touch(const struct ma_area_map *map, uint32_t from, uint32_t to)
{
	uint8_t *arena = (uint8_t *)(map->area + 1);
	uint64_t bytes = (uint64_t)(to - from) * MA_PAGE_BYTES;
	uint8_t *start = arena + (uint64_t)from * MA_PAGE_BYTES;

	/* The hook may have begun to use them: nothing changes. */
	for (uint64_t at = 0; at < bytes; at += MA_PAGE_BYTES)
		__atomic_fetch_or((uint32_t *)(void *)(start + at), 0, __ATOMIC_RELAXED);
	/* They stay in the file; we need no mapping of them. */
	(void)madvise(start, bytes, MADV_DONTNEED);
}

int ma_arena_ahead_poll(struct ma_arena_ahead *ahead, const struct ma_area_map *map)
{
	uint64_t pages;
	uint32_t used, taken, ready, wanted, until;
	int permille;

	if (!map->area || map->bytes <= sizeof *map->area)
		return 0;
	pages = (map->bytes - sizeof *map->area) / MA_PAGE_BYTES;
	used = least(__atomic_load_n(&map->area->exact.arena_pages_used, __ATOMIC_RELAXED), pages);
	/* At first there is what the hook has set aside for tables, at once. */
	if (!ahead->looked)
		*ahead = (struct ma_arena_ahead){.looked = true, .used = used, .touched = used};
	taken = used > ahead->used ? used - ahead->used : 0;
	ready = ahead->touched > ahead->used ? ahead->touched - ahead->used : 1;
	permille = (int)least((uint64_t)taken * PERMILLE / ready, PERMILLE);
	wanted = least((uint64_t)taken * LOOKS_AHEAD, MA_ARENA_AHEAD_MAX_PAGES);
	if (wanted < MA_ARENA_AHEAD_MIN_PAGES)
		wanted = MA_ARENA_AHEAD_MIN_PAGES;
	until = least((uint64_t)used + wanted, pages);
	ahead->used = used;
	if (ahead->touched < used)
		ahead->touched = used;
	if (until > ahead->touched) {
		touch(map, ahead->touched, until);
		ahead->touched = until;
	}
	return permille;
}
