/* SPDX-License-Identifier: MIT */
/*
 * A target's memory read in larger pieces that are kept: looking symbols up takes thousands of tiny
 * reads of the same tables, each a system call otherwise. For what does not change while we look
 * (symbol tables, code); whoever wants the present value reads the memory itself.
 */
#ifndef MA_INJECT_MEMORY_CACHE_H
#define MA_INJECT_MEMORY_CACHE_H

#include "inject/remote_memory.h"

struct ma_memory_cache;

/*
 * Puts a cache in front of `memory` (borrowed, must outlive the cache). Returns the memory to read
 * from; it cannot be written. *cache is to be destroyed. Out of memory: *cache is NULL and `memory`
 * itself is returned.
 */
const struct ma_target_memory *ma_memory_cache_create(const struct ma_target_memory *memory,
						      struct ma_memory_cache **cache);
void ma_memory_cache_destroy(struct ma_memory_cache *cache);

#endif
