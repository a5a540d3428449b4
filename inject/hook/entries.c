/* SPDX-License-Identifier: MIT */
/* Which entry point a thunk leads to: one row for each function, one column for each mode. */
#include "inject/hook/entries.h"

typedef void entry(void);

#define BOTH(name)                                                                                 \
	{                                                                                          \
		(entry *)name##_sampled, (entry *)name##_exact                                     \
	}
#define SAME(name)                                                                                 \
	{                                                                                          \
		(entry *)name##_entry, (entry *)name##_entry                                       \
	}

static entry *const entries[MA_FN_COUNT][2] = {
	[MA_FN_MALLOC] = BOTH(ma_malloc),
	[MA_FN_CALLOC] = BOTH(ma_calloc),
	[MA_FN_REALLOC] = BOTH(ma_realloc),
	[MA_FN_FREE] = BOTH(ma_free),
	[MA_FN_POSIX_MEMALIGN] = BOTH(ma_posix_memalign),
	[MA_FN_ALIGNED_ALLOC] = BOTH(ma_aligned_alloc),
	[MA_FN_MEMALIGN] = BOTH(ma_memalign),
	[MA_FN_VALLOC] = BOTH(ma_valloc),
	[MA_FN_PVALLOC] = BOTH(ma_pvalloc),
	[MA_FN_MMAP] = SAME(ma_mmap),
	[MA_FN_MMAP64] = SAME(ma_mmap64),
	[MA_FN_MUNMAP] = SAME(ma_munmap),
	[MA_FN_MREMAP] = SAME(ma_mremap),
	[MA_FN_DLOPEN] = SAME(ma_dlopen),
	[MA_FN_DLSYM] = SAME(ma_dlsym),
	[MA_FN_OBJ_MALLOC] = BOTH(ma_obj_malloc),
	[MA_FN_OBJ_CALLOC] = BOTH(ma_obj_calloc),
	[MA_FN_OBJ_REALLOC] = BOTH(ma_obj_realloc),
	[MA_FN_OBJ_FREE] = BOTH(ma_obj_free),
	[MA_FN_MEM_MALLOC] = BOTH(ma_mem_malloc),
	[MA_FN_MEM_CALLOC] = BOTH(ma_mem_calloc),
	[MA_FN_MEM_REALLOC] = BOTH(ma_mem_realloc),
	[MA_FN_MEM_FREE] = BOTH(ma_mem_free),
	[MA_FN_ARENA_ALLOC] = SAME(ma_arena_alloc),
	[MA_FN_ARENA_FREE] = SAME(ma_arena_free),
};

uint64_t ma_entry_address(enum ma_fn fn, enum ma_mode mode)
{
	return (uint64_t)(uintptr_t)entries[fn][mode == MA_MODE_EXACT];
}
