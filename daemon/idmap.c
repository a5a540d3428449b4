/* SPDX-License-Identifier: MIT */
/* See idmap.h. The table is kept at most two thirds full. */
#include "daemon/idmap.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 256 };
#define MAX_ROOM (UINT32_C(1) << 30)

/* Keys may be chosen by a hostile target, so every bit counts (the finaliser of splitmix64). */
static uint32_t start_of(uint64_t key, uint32_t room)
{
	key ^= key >> 30;
	key *= UINT64_C(0xbf58476d1ce4e5b9);
	key ^= key >> 27;
	key *= UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(key >> 32) & (room - 1);
}

static struct ma_idmap_slot *slot_of(const struct ma_idmap *map, uint64_t key)
{
	uint32_t at = start_of(key, map->room);
	while (map->slots[at].value != MA_IDMAP_NONE && map->slots[at].key != key)
		at = (at + 1) & (map->room - 1);
	return &map->slots[at];
}

uint32_t ma_idmap_find(const struct ma_idmap *map, uint64_t key)
{
	return map->room ? slot_of(map, key)->value : MA_IDMAP_NONE;
}

static bool grow(struct ma_idmap *map)
{
	struct ma_idmap bigger = {.room = map->room ? map->room * 2 : FIRST_ROOM};
	if (bigger.room > MAX_ROOM)
		return false;
	bigger.slots = malloc(bigger.room * sizeof *bigger.slots);
	if (!bigger.slots)
		return false;
	memset(bigger.slots, 0xff, bigger.room * sizeof *bigger.slots);
	for (uint32_t i = 0; i < map->room; i++) {
		if (map->slots[i].value != MA_IDMAP_NONE)
			*slot_of(&bigger, map->slots[i].key) = map->slots[i];
	}
	bigger.used = map->used;
	free(map->slots);
	*map = bigger;
	return true;
}

bool ma_idmap_add(struct ma_idmap *map, uint64_t key, uint32_t value)
{
	if ((uint64_t)map->used * 3 >= (uint64_t)map->room * 2 && !grow(map))
		return false;
	struct ma_idmap_slot *slot = slot_of(map, key);
	if (slot->value == MA_IDMAP_NONE)
		map->used++;
	*slot = (struct ma_idmap_slot){.key = key, .value = value};
	return true;
}

void ma_idmap_fini(struct ma_idmap *map)
{
	free(map->slots);
	*map = (struct ma_idmap){0};
}
