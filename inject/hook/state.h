/* SPDX-License-Identifier: MIT */
/*
 * The hook's globals, all of them: one hidden struct, filled by ma_hook_prepare (install.c) before
 * anything in the target leads here, and only read from then on. Whoever runs in the hook runs on a
 * thread of the target, inside an allocator call.
 */
#ifndef MA_HOOK_STATE_H
#define MA_HOOK_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/hook/config.h"
#include "inject/hook/exact.h"
#include "proto/area.h"

#define MA_HIDDEN __attribute__((visibility("hidden")))

struct ma_hook {
	uint64_t next[MA_FN_COUNT]; /* the definition behind each thunk; 0 = not intercepted */
	uint64_t *gate;             /* first word of the gate page: 1 = on */
	struct ma_area *area;
	uint64_t small_limit; /* config's: larger requests of OBJ and MEM are malloc's */
	uint64_t tid_offset;
	uint32_t mode;
	uint32_t generation; /* of the attach; a thread's state from another one is void */
	uint32_t running;    /* between ma_hook_start and ma_hook_stop */
	uint64_t window;     /* MA_WINDOW: the one that is in force; see windows.h */
	uint64_t turning;    /* when the thread began that turns to another; 0 = none does */
	struct ma_hook_config *config;
	struct ma_thunk_data *thunks;
	struct ma_exact_heap exact;                    /* exact mode only */
	struct ma_size_rate size_rates[MA_SIZE_RATES]; /* mode MA_MODE_CLASSES only */
};

extern struct ma_hook ma_hook MA_HIDDEN;

/* The function behind thunk `fn`, as a pointer to the function type `type`. */
#define MA_NEXT(fn, type) ((type *)ma_hook.next[fn])

/* Address of thunk `fn`: what slots and allocator tables hold. */
static inline uint64_t ma_thunk_address(enum ma_fn fn)
{
	return ma_hook.config->thunk_code + (uint64_t)fn * MA_THUNK_BYTES;
}

/* What an allocation counts as: the request, but an empty one takes room too. */
static inline uint64_t ma_counted_bytes(size_t bytes)
{
	return bytes + !bytes;
}

#endif
