/* SPDX-License-Identifier: MIT */
/*
 * The native half of a stack: a walk over the calling thread's frames by the tables that the daemon
 * compiled (proto/unwind.h). It carries rip, rsp and rbp, reads nothing but the tables and the
 * thread's own stack between where it stands and that stack's end, and makes no call.
 *
 * Which stacks are walked: those that the index lists and that cannot have changed since it was
 * written, because this thread keeps them there: the one that holds the thread's own control block
 * (the C libraries put it at the top of a thread's stack: up to there it is mapped as long as the
 * thread lives), and the one that the process was started on. On any other (a coroutine's, a signal
 * handler's own) the walk is cut: its end may have become somebody else's memory, or nobody's.
 *
 * Thread context: as in site.h.
 */
#ifndef MA_HOOK_UNWIND_H
#define MA_HOOK_UNWIND_H

#include <stdint.h>

#include "inject/hook/config.h"
#include "inject/hook/tables.h"
#include "proto/unwind.h"

enum { MA_UNWIND_CACHE_BITS = 12 };

/*
 * A remembered step. Threads share the cache without a lock: what was torn by two of them does not
 * pass the check, which is the key mixed with the step.
 */
struct ma_unwind_cached {
	uint64_t check;
	uint64_t step;
};

struct ma_unwinder {
	const struct ma_unwind_area *area; /* NULL = no native stacks */
	uint64_t bytes;
	uint64_t own_start, own_end; /* the hook itself: frames that are left out */
	uint64_t main_stack_end;
	struct ma_unwind_cached cache[1 << MA_UNWIND_CACHE_BITS];
};

/* Where a walk starts. pc is that of an instruction, no return address. */
struct ma_unwind_start {
	uint64_t pc, rsp, rbp;
	uint64_t thread_pointer;
};

/* Takes the area from the configuration, if it has one that is usable. */
void ma_unwind_init(struct ma_unwinder *unwinder, const struct ma_hook_config *config);

/*
 * Appends the caller's native frames, but the hook's own, to a walk that has its Python frames (or
 * none): frames, count, hash and flags. While no index is in force nothing happens. What cut the
 * walk is counted in the area.
 */
void ma_unwind_walk(struct ma_unwinder *unwinder, struct ma_area *area, struct ma_walk *walk);

/* The same from another point of the calling thread's stack; for tests. */
void ma_unwind_walk_from(struct ma_unwinder *unwinder, struct ma_area *area, struct ma_walk *walk,
			 const struct ma_unwind_start *start);

#endif
