/* SPDX-License-Identifier: MIT */
/*
 * Memory for the many small pieces of one snapshot: handed out from large blocks, given back all at
 * once. A pool that could not get memory says so once, at the end, and hands out NULL from then on.
 */
#ifndef MA_DAEMON_POOL_H
#define MA_DAEMON_POOL_H

#include <stdbool.h>
#include <stddef.h>

struct ma_pool_block;

/* Zero-initialise, then use. */
struct ma_pool {
	struct ma_pool_block *blocks;
	size_t used; /* of the first block */
	bool failed;
};

/* count * size bytes, zeroed, aligned to 16; NULL when there is no memory. Any one thread. */
void *ma_pool_alloc(struct ma_pool *pool, size_t count, size_t size);

/* A copy of a text. */
char *ma_pool_text(struct ma_pool *pool, const char *text);

void ma_pool_fini(struct ma_pool *pool);

#endif
