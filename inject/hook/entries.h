/* SPDX-License-Identifier: MIT */
/*
 * The functions that thunks lead to while the hook is on, one for each intercepted function and
 * mode. Each has the signature, and the effect, of what it stands in front of. Called by the
 * target's code on the target's threads, inside whatever the target is doing.
 */
#ifndef MA_HOOK_ENTRIES_H
#define MA_HOOK_ENTRIES_H

#include <stddef.h>
#include <stdint.h>

#include "inject/hook/config.h"
#include "proto/area.h"

#define MA_HIDDEN __attribute__((visibility("hidden")))

/*
 * What a program passes all the time: together in memory, each from a cache line of its own on.
 * Between two visits the program has the caches for itself.
 */
#define MA_HOT MA_HIDDEN __attribute__((hot, aligned(64)))

/* Signatures of what is intercepted (malloc(3), posix_memalign(3), mmap(2), mremap(2)). */
typedef void *ma_fn_malloc(size_t bytes);
typedef void *ma_fn_calloc(size_t count, size_t size);
typedef void *ma_fn_realloc(void *block, size_t bytes);
typedef void ma_fn_free(void *block);
typedef int ma_fn_posix_memalign(void **block, size_t alignment, size_t bytes);
typedef void *ma_fn_aligned(size_t alignment, size_t bytes);
typedef void *ma_fn_mmap(void *address, size_t bytes, int protection, int flags, int fd,
			 int64_t offset);
typedef int ma_fn_munmap(void *address, size_t bytes);
typedef void *ma_fn_mremap(void *address, size_t old_bytes, size_t new_bytes, int flags,
			   void *new_address);

/* Function words of PyMemAllocatorEx and PyObjectArenaAllocator (CPython, Include/pymem.h). */
typedef void *ma_fn_py_malloc(void *context, size_t bytes);
typedef void *ma_fn_py_calloc(void *context, size_t count, size_t size);
typedef void *ma_fn_py_realloc(void *context, void *block, size_t bytes);
typedef void ma_fn_py_free(void *context, void *block);
typedef void *ma_fn_arena_alloc(void *context, size_t bytes);
typedef void ma_fn_arena_free(void *context, void *arena, size_t bytes);

/* Where thunk `fn` leads to in this mode: an address, as the thunk page holds it. */
MA_HIDDEN uint64_t ma_entry_address(enum ma_fn fn, enum ma_mode mode);

MA_HOT ma_fn_malloc ma_malloc_sampled;
MA_HOT ma_fn_calloc ma_calloc_sampled;
MA_HOT ma_fn_realloc ma_realloc_sampled;
MA_HOT ma_fn_free ma_free_sampled;
MA_HOT ma_fn_py_malloc ma_obj_malloc_sampled, ma_mem_malloc_sampled;
MA_HOT ma_fn_py_calloc ma_obj_calloc_sampled, ma_mem_calloc_sampled;
MA_HOT ma_fn_py_realloc ma_obj_realloc_sampled, ma_mem_realloc_sampled;

MA_HIDDEN ma_fn_malloc ma_malloc_exact, ma_malloc_classes;
MA_HIDDEN ma_fn_calloc ma_calloc_exact, ma_calloc_classes;
MA_HIDDEN ma_fn_realloc ma_realloc_exact, ma_realloc_classes;
MA_HIDDEN ma_fn_free ma_free_exact;
MA_HIDDEN ma_fn_posix_memalign ma_posix_memalign_sampled, ma_posix_memalign_exact,
	ma_posix_memalign_classes;
MA_HIDDEN ma_fn_aligned ma_aligned_alloc_sampled, ma_aligned_alloc_exact, ma_aligned_alloc_classes;
MA_HIDDEN ma_fn_aligned ma_memalign_sampled, ma_memalign_exact, ma_memalign_classes;
MA_HIDDEN ma_fn_malloc ma_valloc_sampled, ma_valloc_exact, ma_valloc_classes;
MA_HIDDEN ma_fn_malloc ma_pvalloc_sampled, ma_pvalloc_exact, ma_pvalloc_classes;

MA_HIDDEN ma_fn_mmap ma_mmap_entry, ma_mmap64_entry;
MA_HIDDEN ma_fn_munmap ma_munmap_entry;
MA_HIDDEN ma_fn_mremap ma_mremap_entry;

/* Not functions to call: stubs in entries_dl.S that keep every argument register. */
MA_HIDDEN void ma_dlopen_entry(void);
MA_HIDDEN void ma_dlsym_entry(void);

MA_HIDDEN ma_fn_py_malloc ma_obj_malloc_exact, ma_obj_malloc_classes;
MA_HIDDEN ma_fn_py_calloc ma_obj_calloc_exact, ma_obj_calloc_classes;
MA_HIDDEN ma_fn_py_realloc ma_obj_realloc_exact, ma_obj_realloc_classes;
MA_HIDDEN ma_fn_py_free ma_obj_free_sampled, ma_obj_free_exact;
MA_HIDDEN ma_fn_py_malloc ma_mem_malloc_exact, ma_mem_malloc_classes;
MA_HIDDEN ma_fn_py_calloc ma_mem_calloc_exact, ma_mem_calloc_classes;
MA_HIDDEN ma_fn_py_realloc ma_mem_realloc_exact, ma_mem_realloc_classes;
MA_HIDDEN ma_fn_py_free ma_mem_free_sampled, ma_mem_free_exact;
MA_HIDDEN ma_fn_arena_alloc ma_arena_alloc_entry;
MA_HIDDEN ma_fn_arena_free ma_arena_free_entry;

#endif
