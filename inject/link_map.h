/* SPDX-License-Identifier: MIT */
/*
 * The objects that the dynamic loader of the target has loaded, in link-map order, which is the
 * order of symbol resolution for everything that is global. Read from the target's own struct
 * r_debug while it runs: a list that changes under the reader shows as an error, and the caller
 * reads again.
 */
#ifndef MA_INJECT_LINK_MAP_H
#define MA_INJECT_LINK_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "inject/elf_memory.h"
#include "inject/maps.h"
#include "inject/procfs.h"
#include "inject/remote_memory.h"
#include "proto/error.h"

enum { MA_LINK_MAP_MAX = 4096 }; /* objects; more is taken for a loop */

struct ma_link_object {
	struct ma_raddr entry;   /* struct link_map */
	bool usable;             /* module could be read */
	struct ma_module module; /* path is l_name; the executable's is /proc/PID/exe */
};

enum ma_libc { MA_LIBC_UNKNOWN, MA_LIBC_GLIBC, MA_LIBC_MUSL };

struct ma_link_map {
	struct ma_raddr r_debug;
	bool consistent; /* r_state was RT_CONSISTENT before and after */
	enum ma_libc libc;
	struct ma_link_object *object; /* [0] is the executable */
	size_t count;
	size_t loader;      /* index of ld.so (musl: libc itself); SIZE_MAX = not found */
	size_t libc_object; /* index of libc; SIZE_MAX = not found */
};

/*
 * Reads the list. auxv and maps are the target's (borrowed). *map is to be finished either way.
 * Errors: MA_ERR_NOT_PYTHON for a static program; MA_ERR_PROTOCOL for a list that makes no sense;
 * MA_ERR_FAILED when memory changed or could not be read.
 */
int ma_link_map_read(const struct ma_target_memory *memory, const struct ma_proc_auxv *auxv,
		     const struct ma_maps *maps, struct ma_link_map *map, struct ma_error *error);
void ma_link_map_fini(struct ma_link_map *map);

/*
 * First definition of a function in link-map order: what a new reference in the executable would be
 * bound to. Starts at object `from`. Definitions that are not plain code or data of their module
 * (IFUNCs) are skipped. *index (NULL allowed) is the object.
 * Returns 1 = found, 0 = nobody defines it, or a negative enum ma_err.
 */
int ma_link_map_symbol(const struct ma_target_memory *memory, const struct ma_link_map *map,
		       const char *name, size_t from, struct ma_symbol *symbol, size_t *index,
		       struct ma_error *error);

/* The object whose pages hold an address, or NULL. */
const struct ma_link_object *ma_link_map_find(const struct ma_link_map *map, uint64_t address);

#endif
