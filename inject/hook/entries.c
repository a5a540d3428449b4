/* SPDX-License-Identifier: MIT */
/* Which entry point a thunk leads to: one row for each function, one column for each mode. */
#include "inject/hook/entries.h"

typedef void entry(void);

enum { MODES = MA_MODE_CLASSES + 1 };

#define EACH(name)                                                                                 \
	{                                                                                          \
		[MA_MODE_SAMPLED] = (entry *)name##_sampled,                                       \
		[MA_MODE_EXACT] = (entry *)name##_exact,                                           \
		[MA_MODE_CLASSES] = (entry *)name##_classes                                        \
	}
#define FREE(name)                                                                                 \
	{                                                                                          \
		[MA_MODE_SAMPLED] = (entry *)name##_sampled,                                       \
		[MA_MODE_EXACT] = (entry *)name##_exact,                                           \
		[MA_MODE_CLASSES] = (entry *)name##_sampled                                        \
	}
#define SAME(name)                                                                                 \
	{                                                                                          \
		[MA_MODE_SAMPLED] = (entry *)name##_entry,                                         \
		[MA_MODE_EXACT] = (entry *)name##_entry, [MA_MODE_CLASSES] = (entry *)name##_entry \
	}

static entry *const entries[MA_FN_COUNT][MODES] = {
	[MA_FN_MALLOC] = EACH(ma_malloc),
	[MA_FN_CALLOC] = EACH(ma_calloc),
	[MA_FN_REALLOC] = EACH(ma_realloc),
	[MA_FN_FREE] = FREE(ma_free),
	[MA_FN_POSIX_MEMALIGN] = EACH(ma_posix_memalign),
	[MA_FN_ALIGNED_ALLOC] = EACH(ma_aligned_alloc),
	[MA_FN_MEMALIGN] = EACH(ma_memalign),
	[MA_FN_VALLOC] = EACH(ma_valloc),
	[MA_FN_PVALLOC] = EACH(ma_pvalloc),
	[MA_FN_MMAP] = SAME(ma_mmap),
	[MA_FN_MMAP64] = SAME(ma_mmap64),
	[MA_FN_MUNMAP] = SAME(ma_munmap),
	[MA_FN_MREMAP] = SAME(ma_mremap),
	[MA_FN_DLOPEN] = SAME(ma_dlopen),
	[MA_FN_DLSYM] = SAME(ma_dlsym),
	[MA_FN_OBJ_MALLOC] = EACH(ma_obj_malloc),
	[MA_FN_OBJ_CALLOC] = EACH(ma_obj_calloc),
	[MA_FN_OBJ_REALLOC] = EACH(ma_obj_realloc),
	[MA_FN_OBJ_FREE] = FREE(ma_obj_free),
	[MA_FN_MEM_MALLOC] = EACH(ma_mem_malloc),
	[MA_FN_MEM_CALLOC] = EACH(ma_mem_calloc),
	[MA_FN_MEM_REALLOC] = EACH(ma_mem_realloc),
	[MA_FN_MEM_FREE] = FREE(ma_mem_free),
	[MA_FN_ARENA_ALLOC] = SAME(ma_arena_alloc),
	[MA_FN_ARENA_FREE] = SAME(ma_arena_free),
};

uint64_t ma_entry_address(enum ma_fn fn, enum ma_mode mode)
{
	return (uint64_t)(uintptr_t)entries[fn][mode];
}
