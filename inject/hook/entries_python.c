/* SPDX-License-Identifier: MIT */
/*
 * Python's OBJ and MEM domains, and the arenas behind them. pymalloc serves requests of 1 to
 * small_limit bytes; what is larger, or empty, goes on to malloc and is counted there. A
 * reallocation may end in either: a block of malloc that is shrunk stays malloc's (CPython,
 * obmalloc.c, pymalloc_realloc). So the malloc hooks leave in the thread's `served` what they
 * handed out.
 */
#include "inject/hook/account.h"
#include "inject/hook/entries.h"
#include "inject/hook/windows.h"

/* A debug allocator of Python returns an address this far behind malloc's, at most. */
enum { DEBUG_HEAD_BYTES = 64 };

MA_INLINE bool is_small(size_t bytes)
{
	return bytes - 1 < ma_hook.small_limit;
}

MA_INLINE void *reallocate(enum ma_mode mode, enum ma_domain domain, enum ma_fn fn, void *context,
			   void *block, size_t bytes)
{
	ma_fn_py_realloc *next = MA_NEXT(fn, ma_fn_py_realloc);
	struct ma_taken taken;
	/* What was promoted goes on to malloc's hook, which takes it. */
	bool was_taken =
		!ma_hook.config->promotes && ma_account_take(mode, block, MA_LAYER_PYTHON, &taken);
	void *moved;

	if (mode == MA_MODE_SAMPLED && ma_windows_are_due())
		ma_windows_turn();
	ma_tls()->served = 0;
	moved = next(context, block, bytes);
	if (was_taken)
		ma_account_moved(moved, block, &taken);
	if (!is_small(bytes) || (uint64_t)(uintptr_t)moved - ma_tls()->served < DEBUG_HEAD_BYTES)
		return moved;
	return ma_account(mode, moved, bytes, domain);
}

/*
 * What is done where something is to be recorded; on its own, so that the entry point saves no
 * register, and ends in a jump.
 */
#define SLOW(type, name, arguments) static __attribute__((noinline)) type name arguments

/* The entry points of one domain and mode; to free, two modes need the same. */
#define PYTHON_ENTRIES(name, suffix, fn, domain, mode)                                             \
	SLOW(void *, name##_malloc_##suffix, (void *context, size_t bytes))                        \
	{                                                                                          \
		ma_fn_py_malloc *next = MA_NEXT(fn##_MALLOC, ma_fn_py_malloc);                     \
		uint32_t windowed = mode == MA_MODE_SAMPLED ? MA_WINDOWED : 0;                     \
		return ma_account(mode, next(context, bytes), bytes, domain | windowed);           \
	}                                                                                          \
	void *ma_##name##_malloc_##suffix(void *context, size_t bytes)                             \
	{                                                                                          \
		ma_fn_py_malloc *next = MA_NEXT(fn##_MALLOC, ma_fn_py_malloc);                     \
		if (is_small(bytes) && !ma_account_passes(mode, bytes))                            \
			return name##_malloc_##suffix(context, bytes);                             \
		return next(context, bytes);                                                       \
	}                                                                                          \
	SLOW(void *, name##_calloc_##suffix, (void *context, size_t count, size_t size))           \
	{                                                                                          \
		ma_fn_py_calloc *next = MA_NEXT(fn##_CALLOC, ma_fn_py_calloc);                     \
		return ma_account(mode, next(context, count, size), count * size, domain);         \
	}                                                                                          \
	void *ma_##name##_calloc_##suffix(void *context, size_t count, size_t size)                \
	{                                                                                          \
		ma_fn_py_calloc *next = MA_NEXT(fn##_CALLOC, ma_fn_py_calloc);                     \
		if (is_small(count * size) && !ma_account_passes(mode, count * size))              \
			return name##_calloc_##suffix(context, count, size);                       \
		return next(context, count, size);                                                 \
	}                                                                                          \
	SLOW(void *, name##_realloc_##suffix, (void *context, void *block, size_t bytes))          \
	{                                                                                          \
		return reallocate(mode, domain, fn##_REALLOC, context, block, bytes);              \
	}                                                                                          \
	void *ma_##name##_realloc_##suffix(void *context, void *block, size_t bytes)               \
	{                                                                                          \
		ma_fn_py_realloc *next = MA_NEXT(fn##_REALLOC, ma_fn_py_realloc);                  \
		/* What is large, and what was promoted, is malloc's hooks' alone. */              \
		if (mode != MA_MODE_EXACT && !is_small(bytes) && ma_hook.config->promotes)         \
			return next(context, block, bytes);                                        \
		return name##_realloc_##suffix(context, block, bytes);                             \
	}

#define PYTHON_FREE(name, suffix, fn, mode)                                                        \
	SLOW(void, name##_free_##suffix, (void *context, void *block))                             \
	{                                                                                          \
		MA_NEXT(fn##_FREE, ma_fn_py_free)(context, ma_account_free(mode, block));          \
	}                                                                                          \
	void ma_##name##_free_##suffix(void *context, void *block)                                 \
	{                                                                                          \
		ma_fn_py_free *next = MA_NEXT(fn##_FREE, ma_fn_py_free);                           \
		if (!ma_account_free_passes(mode, block))                                          \
			name##_free_##suffix(context, block);                                      \
		else                                                                               \
			next(context, block);                                                      \
	}

PYTHON_ENTRIES(obj, sampled, MA_FN_OBJ, MA_DOMAIN_OBJECT, MA_MODE_SAMPLED)
PYTHON_ENTRIES(obj, exact, MA_FN_OBJ, MA_DOMAIN_OBJECT, MA_MODE_EXACT)
PYTHON_ENTRIES(obj, classes, MA_FN_OBJ, MA_DOMAIN_OBJECT, MA_MODE_CLASSES)
PYTHON_ENTRIES(mem, sampled, MA_FN_MEM, MA_DOMAIN_MEM, MA_MODE_SAMPLED)
PYTHON_ENTRIES(mem, exact, MA_FN_MEM, MA_DOMAIN_MEM, MA_MODE_EXACT)
PYTHON_ENTRIES(mem, classes, MA_FN_MEM, MA_DOMAIN_MEM, MA_MODE_CLASSES)
PYTHON_FREE(obj, sampled, MA_FN_OBJ, MA_MODE_SAMPLED)
PYTHON_FREE(obj, exact, MA_FN_OBJ, MA_MODE_EXACT)
PYTHON_FREE(mem, sampled, MA_FN_MEM, MA_MODE_SAMPLED)
PYTHON_FREE(mem, exact, MA_FN_MEM, MA_MODE_EXACT)

/*
 * While an arena is made or given back, the thread's in_arena holds a stack address of that call,
 * so that the mmap or munmap below it is not counted: what is put into the arena is. The stack
 * address tells a mark that was left behind, as in gate.h.
 */
void *ma_arena_alloc_entry(void *context, size_t bytes)
{
	void *arena;

	ma_tls()->in_arena = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	arena = MA_NEXT(MA_FN_ARENA_ALLOC, ma_fn_arena_alloc)(context, bytes);
	ma_tls()->in_arena = 0;
	return arena;
}

void ma_arena_free_entry(void *context, void *arena, size_t bytes)
{
	ma_tls()->in_arena = (uint64_t)(uintptr_t)__builtin_frame_address(0);
	MA_NEXT(MA_FN_ARENA_FREE, ma_fn_arena_free)(context, arena, bytes);
	ma_tls()->in_arena = 0;
}
