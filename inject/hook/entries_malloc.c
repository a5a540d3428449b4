/* SPDX-License-Identifier: MIT */
/*
 * The malloc family. Blocks are counted after the real call succeeded and taken out of the books
 * before the real free, so that an address that another thread gets at once is never confused.
 */
#include "inject/hook/account.h"
#include "inject/hook/entries.h"
#include "inject/hook/windows.h"

/*
 * A block from the malloc layer, for the hooks of Python's domains that may be waiting for it up
 * the stack: they must not count it a second time.
 */
MA_INLINE void *serve(enum ma_mode mode, void *block, size_t bytes)
{
	ma_tls()->served = (uint64_t)(uintptr_t)block;
	return ma_account(mode, block, bytes, MA_DOMAIN_MALLOC);
}

MA_INLINE void *reallocate(enum ma_mode mode, void *block, size_t bytes)
{
	struct ma_taken taken;
	bool was_taken;
	void *moved;

	if (mode == MA_MODE_SAMPLED && ma_windows_are_due())
		ma_windows_turn();
	was_taken = ma_account_take(mode, block, MA_LAYER_ANY, &taken);
	moved = MA_NEXT(MA_FN_REALLOC, ma_fn_realloc)(block, bytes);

	/* glibc's realloc(block, 0) frees the block and returns NULL. */
	if (was_taken)
		ma_account_moved(moved || !bytes, block, &taken);
	return serve(mode, moved, bytes);
}

MA_INLINE int align_into(enum ma_mode mode, void **block, size_t alignment, size_t bytes)
{
	int error = MA_NEXT(MA_FN_POSIX_MEMALIGN, ma_fn_posix_memalign)(block, alignment, bytes);

	if (!error)
		ma_account(mode, *block, bytes, MA_DOMAIN_MALLOC);
	return error;
}

/* The entry points of one mode; to free, two modes need the same. */
#define MALLOC_ENTRIES(suffix, mode)                                                               \
	void *ma_malloc_##suffix(size_t bytes)                                                     \
	{                                                                                          \
		return serve(mode, MA_NEXT(MA_FN_MALLOC, ma_fn_malloc)(bytes), bytes);             \
	}                                                                                          \
	void *ma_calloc_##suffix(size_t count, size_t size)                                        \
	{                                                                                          \
		/* A product that wraps around belongs to a call that fails. */                    \
		return serve(mode, MA_NEXT(MA_FN_CALLOC, ma_fn_calloc)(count, size),               \
			     count * size);                                                        \
	}                                                                                          \
	void *ma_realloc_##suffix(void *block, size_t bytes)                                       \
	{                                                                                          \
		return reallocate(mode, block, bytes);                                             \
	}                                                                                          \
	int ma_posix_memalign_##suffix(void **block, size_t alignment, size_t bytes)               \
	{                                                                                          \
		return align_into(mode, block, alignment, bytes);                                  \
	}                                                                                          \
	void *ma_aligned_alloc_##suffix(size_t alignment, size_t bytes)                            \
	{                                                                                          \
		void *block = MA_NEXT(MA_FN_ALIGNED_ALLOC, ma_fn_aligned)(alignment, bytes);       \
		return ma_account(mode, block, bytes, MA_DOMAIN_MALLOC);                           \
	}                                                                                          \
	void *ma_memalign_##suffix(size_t alignment, size_t bytes)                                 \
	{                                                                                          \
		void *block = MA_NEXT(MA_FN_MEMALIGN, ma_fn_aligned)(alignment, bytes);            \
		return ma_account(mode, block, bytes, MA_DOMAIN_MALLOC);                           \
	}                                                                                          \
	void *ma_valloc_##suffix(size_t bytes)                                                     \
	{                                                                                          \
		void *block = MA_NEXT(MA_FN_VALLOC, ma_fn_malloc)(bytes);                          \
		return ma_account(mode, block, bytes, MA_DOMAIN_MALLOC);                           \
	}                                                                                          \
	void *ma_pvalloc_##suffix(size_t bytes)                                                    \
	{                                                                                          \
		void *block = MA_NEXT(MA_FN_PVALLOC, ma_fn_malloc)(bytes);                         \
		return ma_account(mode, block, bytes, MA_DOMAIN_MALLOC);                           \
	}

MALLOC_ENTRIES(sampled, MA_MODE_SAMPLED)
MALLOC_ENTRIES(exact, MA_MODE_EXACT)
MALLOC_ENTRIES(classes, MA_MODE_CLASSES)

/* On its own, so that the entry point saves no register, and ends in a jump. */
static __attribute__((noinline)) void free_held(void *block)
{
	MA_NEXT(MA_FN_FREE, ma_fn_free)(ma_record_free_sampled(block));
}

static __attribute__((noinline, cold)) void turn_and_free(void *block)
{
	ma_windows_turn();
	MA_NEXT(MA_FN_FREE, ma_fn_free)(ma_account_free(MA_MODE_SAMPLED, block));
}

void ma_free_sampled(void *block)
{
	ma_fn_free *next = MA_NEXT(MA_FN_FREE, ma_fn_free);

	if (ma_windows_are_due())
		turn_and_free(block);
	else if (ma_account_free_passes(MA_MODE_SAMPLED, block))
		next(block);
	else
		free_held(block);
}

void ma_free_exact(void *block)
{
	MA_NEXT(MA_FN_FREE, ma_fn_free)(ma_account_free(MA_MODE_EXACT, block));
}
