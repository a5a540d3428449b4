/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/maps as a sorted array. The parser is a pure function of bytes (the names in the file
 * are chosen by the target), so that a fuzzer can drive it.
 */
#ifndef MA_INJECT_MAPS_H
#define MA_INJECT_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/remote_memory.h"
#include "proto/error.h"

struct ma_map {
	uint64_t start;
	uint64_t end; /* exclusive; end > start */
	uint64_t offset_bytes;
	uint64_t inode; /* 0 = not a file */
	uint32_t device_major;
	uint32_t device_minor;
	int protection; /* PROT_READ | PROT_WRITE | PROT_EXEC */
	bool shared;
	bool deleted;     /* the name ended in " (deleted)", which is cut off */
	const char *name; /* "" = anonymous; "[stack]", "/memfd:x", a path with \012 decoded */
};

struct ma_maps {
	struct ma_map *map; /* ascending, not overlapping */
	size_t count;
	char *text; /* owns the names */
};

/* Parses a copy of `text`. 0, or MA_ERR_PROTOCOL with the line; *maps is to be finished either way.
 */
int ma_maps_parse(const char *text, size_t bytes, struct ma_maps *maps, struct ma_error *error);

/* Reads and parses /proc/PID/maps. Empty for a zombie and a kernel thread. Errors:
 * MA_ERR_NO_PROCESS, MA_ERR_PERMISSION (errno only), MA_ERR_PROTOCOL. */
int ma_maps_read(pid_t pid, struct ma_maps *maps, struct ma_error *error);
void ma_maps_fini(struct ma_maps *maps);

/* The mapping that holds an address, or NULL. Borrowed. */
const struct ma_map *ma_maps_find(const struct ma_maps *maps, uint64_t address);

/* The first mapping at or after index `from` whose name is exactly `name`; NULL if there is none.
 */
const struct ma_map *ma_maps_find_name(const struct ma_maps *maps, const char *name, size_t from);

/* The first mapping of a memfd with this name (as given to memfd_create) and at least these
 * protections, at or after index `from`; NULL if there is none. */
const struct ma_map *ma_maps_find_memfd(const struct ma_maps *maps, const char *memfd,
					int protection, size_t from);

/* Do two mappings show the same file (device and inode)? Never for anonymous memory. */
bool ma_map_same_file(const struct ma_map *a, const struct ma_map *b);

/*
 * The range of the loaded module that an address belongs to: from the mapping of the file's offset
 * 0 at or below the address, to the end of the last mapping of the same file above it, with what
 * lies between. *first is the index of its first mapping. 0, or MA_ERR_FAILED when the address is
 * not in a file mapping.
 */
int ma_maps_module(const struct ma_maps *maps, uint64_t address, uint64_t *start, uint64_t *end,
		   size_t *first);

/* Is [address, address + bytes) wholly mapped, without a hole, with at least these protections? */
bool ma_maps_covers(const struct ma_maps *maps, uint64_t address, uint64_t bytes, int protection);

#endif
