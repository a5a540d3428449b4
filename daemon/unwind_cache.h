/* SPDX-License-Identifier: MIT */
/*
 * Unwind tables on disk, named by the hash of what they were compiled from, so that a library is
 * compiled once per machine and user. The directory is ours alone; what is read from it is checked
 * all the same. Several daemons may share it: files appear whole, by rename.
 *
 * Where: $MEMATTACH_CACHE_DIR (empty: nowhere), else /var/cache/memattach for root, else
 * $XDG_CACHE_HOME/memattach, else ~/.cache/memattach; in its directory `unwind`.
 */
#ifndef MA_DAEMON_UNWIND_CACHE_H
#define MA_DAEMON_UNWIND_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/sha256.h"

enum { MA_UNWIND_CACHE_BYTES = 256 << 20 };

struct ma_unwind_cache {
	int fd;               /* the directory; -1: there is none */
	uint64_t limit_bytes; /* MA_UNWIND_CACHE_BYTES, unless a test says otherwise */
	uint64_t used_bytes;  /* as of the last look, and what was stored since */
	bool looked;
	unsigned stored; /* makes temporary names unique */
};

/* Opens the directory, making it if need be. Without one everything else does nothing. One thread,
 * as everything here. */
void ma_unwind_cache_open(struct ma_unwind_cache *cache);
void ma_unwind_cache_close(struct ma_unwind_cache *cache);

/* A table that was checked; returned-owned (free), NULL: not there. */
void *ma_unwind_cache_load(struct ma_unwind_cache *cache, const uint8_t hash[MA_SHA256_BYTES],
			   size_t *bytes);

/* Stores a checked table under its own hash; the least recently used go when there are too many.
 * What cannot be stored is not. */
void ma_unwind_cache_store(struct ma_unwind_cache *cache, const void *table, size_t bytes);

#endif
