/* SPDX-License-Identifier: MIT */
#include "inject/memory_cache.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

enum {
	BLOCK_BYTES = 1 << 12, /* a page: it can be read wholly or not at all */
	SLOTS = 1024,          /* direct-mapped by block number */
};

struct block {
	uint64_t start;
	size_t bytes; /* readable ones from its start; 0 = none, or not read yet */
	uint8_t content[BLOCK_BYTES];
};

struct ma_memory_cache {
	struct ma_target_memory front;
	const struct ma_target_memory *memory;
	struct block block[SLOTS];
};

static const struct block *find(struct ma_memory_cache *cache, uint64_t address)
{
	uint64_t start = address & ~(uint64_t)(BLOCK_BYTES - 1);
	struct block *block = &cache->block[start / BLOCK_BYTES % SLOTS];

	if (!block->bytes || block->start != start) {
		block->start = start;
		block->bytes = ma_memory_read_some(cache->memory, ma_raddr(start), block->content,
						   BLOCK_BYTES, NULL);
	}
	return block;
}

static ssize_t cached_read(const struct ma_target_memory *memory, uint64_t address, void *buffer,
			   size_t bytes)
{
	struct ma_memory_cache *cache = memory->context;
	size_t done = 0;

	/* What is larger than a piece has nothing to win. */
	if (bytes > BLOCK_BYTES)
		return (ssize_t)ma_memory_read_some(cache->memory, ma_raddr(address), buffer, bytes,
						    &errno);
	while (done < bytes) {
		const struct block *block = find(cache, address + done);
		size_t offset = (size_t)(address + done - block->start);
		size_t now = block->bytes > offset ? block->bytes - offset : 0;

		if (now > bytes - done)
			now = bytes - done;
		if (!now) {
			/* The piece begins in a hole: what lies behind may be readable all the
			 * same. */
			now = ma_memory_read_some(cache->memory, ma_raddr(address + done),
						  (uint8_t *)buffer + done, bytes - done, &errno);
			return now || done ? (ssize_t)(done + now) : -1;
		}
		memcpy((uint8_t *)buffer + done, block->content + offset, now);
		done += now;
	}
	return (ssize_t)done;
}

static ssize_t refuse_write(const struct ma_target_memory *memory, uint64_t address,
			    const void *buffer, size_t bytes)
{
	(void)memory, (void)address, (void)buffer, (void)bytes;
	errno = EROFS;
	return -1;
}

const struct ma_target_memory *ma_memory_cache_create(const struct ma_target_memory *memory,
						      struct ma_memory_cache **cache)
{
	static const struct ma_memory_ops ops = {.read = cached_read, .write = refuse_write};

	void *pages = mmap(NULL, sizeof(**cache), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	/* Fresh pages are zero and cost nothing until they are used. */
	*cache = pages != MAP_FAILED ? pages : NULL;
	if (!*cache)
		return memory;
	(*cache)->memory = memory;
	(*cache)->front = (struct ma_target_memory){
		.pid = memory->pid,
		.fd = -1,
		.ops = &ops,
		.context = *cache,
	};
	return &(*cache)->front;
}

void ma_memory_cache_destroy(struct ma_memory_cache *cache)
{
	if (cache)
		munmap(cache, sizeof(*cache));
}
