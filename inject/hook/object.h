/* SPDX-License-Identifier: MIT */
/*
 * A loaded ELF object as the dynamic loader left it in memory: what a pass over the link map needs
 * to find the slots through which the object calls a few named functions. Reads only; the caller
 * holds the dynamic loader's lock, so that the object stays.
 */
#ifndef MA_HOOK_OBJECT_H
#define MA_HOOK_OBJECT_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>

#include "inject/hook/config.h"

#define MA_HIDDEN __attribute__((visibility("hidden")))

enum {
	MA_OBJECT_RANGES = 8, /* segments told apart; a usual object has four */
	MA_OBJECT_WANTED = 48 /* symbols of one object: each name, some in two versions */
};

struct ma_range {
	uint64_t low;
	uint64_t high; /* one past the end */
};

struct ma_object {
	uint64_t base;     /* l_addr */
	uint64_t identity; /* hash of where it lies and of its dynamic section */
	struct ma_range whole;
	struct ma_range relro; /* pages that the loader made read-only after relocating */
	struct ma_range executable[MA_OBJECT_RANGES];
	struct ma_range writable[MA_OBJECT_RANGES];
	uint32_t executables;
	uint32_t writables;
	const Elf64_Rela *jump_slots;
	uint64_t jump_slot_count;
	const Elf64_Rela *relocations; /* the relative ones at their start left out */
	uint64_t relocation_count;
	const Elf64_Sym *symbols;
	const char *strings;
	uint64_t strings_bytes;
	const uint32_t *gnu_hash; /* NULL: it has only the old kind of hash table */
};

/* Program headers from elsewhere, for the executable: count 0 = find them from the ELF header. */
struct ma_object_headers {
	const Elf64_Phdr *headers;
	uint64_t count;
};

enum ma_object_read {
	MA_OBJECT_OK = 0,
	MA_OBJECT_NO_SLOTS = 1,    /* it has no relocations that could concern us */
	MA_OBJECT_UNREADABLE = -1, /* it is laid out in a way that we do not know */
};

MA_HIDDEN enum ma_object_read ma_object_read(struct ma_object *object, const struct link_map *map,
					     struct ma_object_headers headers);

/* Identity of an object, without reading the rest of it; 0 = it has no dynamic section. */
MA_HIDDEN uint64_t ma_object_identity(const struct link_map *map);

/* Symbols of an object that name one of the intercepted functions. */
struct ma_wanted {
	uint32_t count;
	uint32_t index[MA_OBJECT_WANTED];
	uint8_t fn[MA_OBJECT_WANTED]; /* enum ma_fn */
	uint64_t filter;              /* bit index % 64 of each */
};

/* Finds them. False: there are more than fit. */
MA_HIDDEN bool ma_object_find_wanted(const struct ma_object *object, struct ma_wanted *wanted);

/* The function that symbol `index` names, or MA_FN_COUNT. */
static inline enum ma_fn ma_wanted_fn(const struct ma_wanted *wanted, uint32_t index)
{
	if (!(wanted->filter >> (index & 63) & 1))
		return MA_FN_COUNT;
	for (uint32_t i = 0; i < wanted->count; i++)
		if (wanted->index[i] == index)
			return (enum ma_fn)wanted->fn[i];
	return MA_FN_COUNT;
}

static inline bool ma_range_holds(const struct ma_range *ranges, uint32_t count, uint64_t address)
{
	for (uint32_t i = 0; i < count; i++)
		if (address >= ranges[i].low && address < ranges[i].high)
			return true;
	return false;
}

#endif
