/* SPDX-License-Identifier: MIT */
/* See unwind_area.h. */
#include "daemon/unwind_area.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* linux/fcntl.h, Linux 5.1 */
#endif

enum { FIRST_ROOM = 64, PAGE = 4096 };

static int refuse(struct ma_error *error, const char *answer)
{
	ma_error_set(error, MA_ERR_PROTOCOL, 0, "taking over the target's unwind area");
	ma_error_answer(error, "%s", answer);
	return MA_ERR_PROTOCOL;
}

int ma_unwind_area_open(struct ma_unwind_area_map *map, int fd, struct ma_error *error)
{
	struct stat status;
	if (fstat(fd, &status) < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "examining the unwind area");
	if (!S_ISREG(status.st_mode) || status.st_size != MA_UNWIND_BYTES)
		return refuse(error, "the descriptor is no unwind area");
	/* Cut off under our feet, it would be our end; so without these we do without it. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return refuse(error, "it cannot be sealed");
	void *area = mmap(NULL, MA_UNWIND_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
			  fd, 0);
	if (area == MAP_FAILED)
		return ma_error_set(error, MA_ERR_FAILED, errno, "mapping the unwind area");
	/* Older kernels know no such seal; then the target could write what it alone reads. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
	/* What reads a target's files for us (daemon/confine.h) is not to reach its memory. */
	madvise(area, MA_UNWIND_BYTES, MADV_DONTFORK);
	*map = (struct ma_unwind_area_map){
		.area = area,
		.used = (sizeof *map->area + PAGE - 1) & ~(uint64_t)(PAGE - 1),
	};
	__atomic_store_n(&map->area->current, 0, __ATOMIC_RELAXED);
	for (int i = 0; i < MA_UNWIND_INDEXES; i++)
		map->sequence[i] = (map->area->index[i].sequence + 1) & ~UINT32_C(1);
	map->area->magic = MA_UNWIND_MAGIC;
	map->area->version = MA_UNWIND_VERSION;
	map->area->bytes = MA_UNWIND_BYTES;
	map->area->used = map->used;
	return 0;
}

void ma_unwind_area_close(struct ma_unwind_area_map *map)
{
	if (map->area)
		munmap(map->area, MA_UNWIND_BYTES);
	free(map->placed);
	*map = (struct ma_unwind_area_map){0};
}

static uint64_t append(struct ma_unwind_area_map *map, const void *bytes, uint64_t count)
{
	uint64_t at = map->used;
	memcpy((uint8_t *)map->area + at, bytes, count);
	map->used = (at + count + 7) & ~UINT64_C(7);
	return at;
}

static bool remember(struct ma_unwind_area_map *map, const uint8_t *hash, uint64_t at)
{
	if (map->placed_count == map->placed_room) {
		uint32_t room = map->placed_room ? map->placed_room * 2 : FIRST_ROOM;
		void *larger = realloc(map->placed, room * sizeof *map->placed);
		if (!larger)
			return false;
		map->placed = larger;
		map->placed_room = room;
	}
	struct ma_unwind_placed *placed = &map->placed[map->placed_count++];
	memcpy(placed->hash, hash, sizeof placed->hash);
	placed->at = at;
	return true;
}

uint64_t ma_unwind_area_place(struct ma_unwind_area_map *map,
			      const struct ma_unwind_table_view *table)
{
	const struct ma_unwind_table_head *head = table->head;
	for (uint32_t i = 0; i < map->placed_count; i++) {
		if (memcmp(map->placed[i].hash, head->hash, MA_SHA256_BYTES) == 0)
			return map->placed[i].at;
	}
	/* The head of a table here is smaller than that of one by itself; the parts are the same.
	 */
	_Static_assert(sizeof(struct ma_unwind_table) <= sizeof(struct ma_unwind_table_head), "");
	if (head->bytes > MA_UNWIND_BYTES - map->used || !remember(map, head->hash, map->used))
		return 0;
	struct ma_unwind_table placed = {
		.pc_first = head->pc_first,
		.pc_end = head->pc_end,
		.block_count = head->block_count,
		.row_count = head->row_count,
		.rule_count = head->rule_count,
	};
	uint64_t at = append(map, &placed, sizeof placed);
	placed.blocks = append(map, table->blocks,
			       (head->block_count + UINT64_C(1)) * sizeof *table->blocks);
	placed.rows = append(map, table->rows, head->row_count * sizeof *table->rows);
	placed.rules = append(map, table->rules, head->row_count * sizeof *table->rules);
	placed.rule = append(map, table->rule, head->rule_count * sizeof *table->rule);
	memcpy((uint8_t *)map->area + at, &placed, sizeof placed);
	map->area->used = map->used;
	return at;
}

void ma_unwind_area_publish(struct ma_unwind_area_map *map, const struct ma_unwind_module *modules,
			    uint32_t module_count, const struct ma_unwind_stack *stacks,
			    uint32_t stack_count)
{
	uint32_t next = map->current % MA_UNWIND_INDEXES;
	struct ma_unwind_index *index = &map->area->index[next];
	module_count = module_count < MA_UNWIND_MODULES ? module_count : MA_UNWIND_MODULES;
	stack_count = stack_count < MA_UNWIND_STACKS ? stack_count : MA_UNWIND_STACKS;
	/* A reader that was here two publications ago notices. */
	__atomic_store_n(&index->sequence, map->sequence[next] + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	index->module_count = module_count;
	index->stack_count = stack_count;
	memcpy(index->modules, modules, module_count * sizeof *modules);
	memcpy(index->stacks, stacks, stack_count * sizeof *stacks);
	map->sequence[next] += 2;
	__atomic_store_n(&index->sequence, map->sequence[next], __ATOMIC_RELEASE);
	map->current = next + 1;
	__atomic_store_n(&map->area->current, map->current, __ATOMIC_RELEASE);
}
