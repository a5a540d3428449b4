/* SPDX-License-Identifier: MIT */
/* See pool.h. */
#include "daemon/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 256 << 10, ALIGNMENT = 16 };

struct ma_pool_block {
	struct ma_pool_block *next;
	size_t room;
	_Alignas(ALIGNMENT) uint8_t data[];
};

static bool add_block(struct ma_pool *pool, size_t bytes)
{
	size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
	struct ma_pool_block *block = calloc(1, sizeof *block + room);
	if (!block) {
		pool->failed = true;
		return false;
	}
	block->next = pool->blocks;
	block->room = room;
	pool->blocks = block;
	pool->used = 0;
	return true;
}

void *ma_pool_alloc(struct ma_pool *pool, size_t count, size_t size)
{
	size_t bytes;
	if (pool->failed)
		return NULL;
	if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2) {
		pool->failed = true;
		return NULL;
	}
	bytes = (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if ((!pool->blocks || pool->blocks->room - pool->used < bytes) && !add_block(pool, bytes))
		return NULL;
	void *piece = pool->blocks->data + pool->used;
	pool->used += bytes;
	return piece;
}

char *ma_pool_text(struct ma_pool *pool, const char *text)
{
	size_t length = strlen(text) + 1;
	char *copy = ma_pool_alloc(pool, length, 1);
	if (copy)
		memcpy(copy, text, length);
	return copy;
}

void ma_pool_fini(struct ma_pool *pool)
{
	while (pool->blocks) {
		struct ma_pool_block *next = pool->blocks->next;
		free(pool->blocks);
		pool->blocks = next;
	}
	*pool = (struct ma_pool){0};
}
