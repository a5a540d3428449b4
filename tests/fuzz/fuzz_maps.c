/* SPDX-License-Identifier: MIT */
/* /proc/PID/maps: the names in it are the target's. What is parsed must be sorted and searchable.
 */
#include <string.h>

#include "fuzz.h"
#include "inject/maps.h"

static void check_entry(const struct ma_maps *maps, size_t i)
{
	const struct ma_map *map = &maps->map[i];
	uint64_t start, end;
	size_t first;
	MUST(map->end > map->start);
	MUST(i == 0 || map->start >= map[-1].end);
	MUST(map->name && strlen(map->name) < 1 << 20);
	MUST(ma_maps_find(maps, map->start) == map);
	MUST(ma_maps_find(maps, map->end - 1) == map);
	MUST(ma_maps_covers(maps, map->start, map->end - map->start, map->protection));
	if (ma_maps_module(maps, map->start, &start, &end, &first) == 0)
		MUST(map->inode && first <= i && start <= map->start && end >= map->end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ma_maps maps;
	struct ma_error error = {0};
	int code = ma_maps_parse((const char *)data, size, &maps, &error);
	MUST(code == 0 || (code == MA_ERR_PROTOCOL && error.code == code));
	for (size_t i = 0; i < maps.count; i++)
		check_entry(&maps, i);
	ma_maps_find_memfd(&maps, "memattach-thunks", 0, 0);
	ma_maps_fini(&maps);
	return 0;
}
