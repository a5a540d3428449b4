/* SPDX-License-Identifier: MIT */
/* See slot_watch.h. */
#include "daemon/slot_watch.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "daemon/proc_maps.h"

enum {
	CHUNK_BYTES = 1 << 18,
	RELRO_BYTES = 4 << 20, /* of one object that are searched: the end */
	DATA_BYTES = 1 << 18,  /* the same: the beginning */
	TABLE_BYTES = 5 * 8,   /* PyMemAllocatorEx */
};

/* A line of /proc/PID/maps. */
struct area {
	uint64_t start, end;
	char permissions[8];
	const char *name; /* to the end of the line */
};

static bool parse(const char *line, struct area *area)
{
	int at = 0;

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %n", &area->start, &area->end,
		   area->permissions, &at) < 3 ||
	    !at)
		return false;
	area->name = line + at;
	return true;
}

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end && end[1] ? end + 1 : NULL;
}

/* Data of a loaded object: where slots are. */
static bool holds_slots(const struct area *area)
{
	return area->permissions[3] == 'p' && area->permissions[2] != 'x' && area->name[0] == '/' &&
	       strncmp(area->name, "/memfd:", 7) != 0;
}

static size_t read_words(pid_t pid, uint64_t address, uint64_t *words, size_t bytes)
{
	struct iovec local = {.iov_base = words, .iov_len = bytes};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = bytes};
	ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	return got < 0 ? 0 : (size_t)got / sizeof(words[0]);
}

static bool leads_to_us(const struct ma_area_ident *ident, uint64_t word)
{
	return word - ident->thunk_code < MA_PAGE_BYTES;
}

/* Is the word at this address one of Python's allocator tables? They are no call slots, and change
 * with every window; hook_watch.h looks at them. */
static bool is_in_table(const struct ma_area_ident *ident, uint64_t address)
{
	return address - ident->obj_table < TABLE_BYTES || address - ident->mem_table < TABLE_BYTES;
}

/* Notes every slot in [start, end) that leads to us. */
static void search(struct ma_slot_watch *watch, pid_t pid, uint64_t start, uint64_t end,
		   const struct ma_area_ident *ident, uint64_t *words)
{
	for (uint64_t at = start; at < end; at += CHUNK_BYTES) {
		uint64_t bytes = end - at < CHUNK_BYTES ? end - at : CHUNK_BYTES;
		size_t count = read_words(pid, at, words, bytes);

		for (size_t i = 0; i < count && watch->count < MA_SLOT_WATCH_MOST; i++) {
			uint64_t address = at + i * sizeof(words[0]);

			if (leads_to_us(ident, words[i]) && !is_in_table(ident, address))
				watch->slot[watch->count++] = address;
		}
	}
}

/* Is this the part of an object that was made read-only after relocation, and `data` what follows?
 */
static bool is_relro_of(const struct area *area, const struct area *data)
{
	size_t length = strcspn(data->name, "\n") + 1;

	return area->end == data->start && area->permissions[1] != 'w' &&
	       area->permissions[2] != 'x' && strncmp(area->name, data->name, length) == 0;
}

/*
 * Slots are in what the loader has relocated: at the end of the read-only part, at the beginning of
 * the data. More is not read: pages that nobody has touched would become the target's.
 */
static void search_all(struct ma_slot_watch *watch, pid_t pid, const char *maps,
		       const struct ma_area_ident *ident)
{
	uint64_t *words = malloc(CHUNK_BYTES);
	struct area area, before = {0};

	if (!watch->slot)
		watch->slot = calloc(MA_SLOT_WATCH_MOST, sizeof(watch->slot[0]));
	watch->count = 0;
	for (const char *line = maps; line && words && watch->slot; line = next_line(line)) {
		if (!parse(line, &area) || !holds_slots(&area))
			continue;
		if (area.permissions[1] == 'w') {
			uint64_t low = is_relro_of(&before, &area) ? before.start : area.start;
			uint64_t high = area.end;

			if (area.start - low > RELRO_BYTES)
				low = area.start - RELRO_BYTES;
			if (high - area.start > DATA_BYTES)
				high = area.start + DATA_BYTES;
			search(watch, pid, low, high, ident, words);
		}
		before = area;
	}
	free(words);
}

static const char *area_of(const char *maps, uint64_t address, struct area *area)
{
	for (const char *line = maps; line; line = next_line(line))
		if (parse(line, area) && address >= area->start && address < area->end)
			return line;
	return NULL;
}

/* A word that leads elsewhere counts while its object is there, and if it leads into a program or
 * library: memory that was given to somebody else says nothing. */
static bool is_overwritten(const char *maps, uint64_t slot, uint64_t word, char *where, size_t room)
{
	struct area area;

	if (!area_of(maps, slot, &area) || !holds_slots(&area))
		return false;
	if (!area_of(maps, word, &area) || area.permissions[2] != 'x' || area.name[0] != '/')
		return false;
	snprintf(where, room, "%.*s", (int)strcspn(area.name, "\n"), area.name);
	return true;
}

static uint32_t count_gone(struct ma_slot_watch *watch, pid_t pid, int proc_fd,
			   const struct ma_area_ident *ident)
{
	char *maps = NULL;
	uint32_t gone = 0;

	for (uint32_t i = 0; i < watch->count; i++) {
		char where[sizeof watch->where];
		uint64_t word;

		if (read_words(pid, watch->slot[i], &word, sizeof word) != 1 ||
		    leads_to_us(ident, word))
			continue;
		if (!maps)
			maps = ma_proc_maps_read(proc_fd);
		if (!maps)
			break;
		if (!is_overwritten(maps, watch->slot[i], word, where, sizeof where))
			continue;
		if (!gone++)
			memcpy(watch->where, where, sizeof where);
	}
	free(maps);
	return gone;
}

int ma_slot_watch_look(struct ma_slot_watch *watch, pid_t pid, int proc_fd,
		       const struct ma_area_ident *ident, uint64_t passes)
{
	uint32_t gone = watch->slot ? count_gone(watch, pid, proc_fd, ident) : 0;
	bool changed = gone != watch->gone;

	watch->gone = gone;
	/* Those that are lost stay noted; where a library is new, its slots are looked for. */
	if (!gone && (!watch->slot || passes != watch->passes)) {
		char *maps = ma_proc_maps_read(proc_fd);

		if (maps)
			search_all(watch, pid, maps, ident);
		watch->passes = passes;
		free(maps);
	}
	return changed;
}

void ma_slot_watch_fini(struct ma_slot_watch *watch)
{
	free(watch->slot);
	*watch = (struct ma_slot_watch){0};
}
