/* SPDX-License-Identifier: MIT */
/*
 * The call stack of a stopped thread, as program counters. libdw walks it over a snapshot of the
 * stack, with unwind tables best loaded before anything is stopped; where it cannot,
 * libunwind-ptrace may (unwinder_ptrace.c), but its guesses are to be taken with care.
 */
#ifndef MA_INJECT_UNWINDER_H
#define MA_INJECT_UNWINDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/arch/arch.h"
#include "inject/inspect.h"
#include "proto/error.h"

enum { MA_WALK_FRAMES = 8192 }; /* deeper stacks count as not walked */

struct ma_stack_walk {
	uint64_t pc[MA_WALK_FRAMES]; /* innermost first; a return address less 1, to be inside its
					call */
	int count;
	bool complete; /* walked to the outermost frame, by unwind tables alone */
};

struct ma_unwinder;

/* For the objects of the view (borrowed, must outlive the unwinder). NULL when memory is out. A
 * walk loads the tables that it needs; to do that while nobody stands still, load them before. */
struct ma_unwinder *ma_unwinder_create(const struct ma_view *view);

/* Loads the unwind tables of every object. Slow: milliseconds. */
void ma_unwinder_load(struct ma_unwinder *unwinder);

/* Loads those that a thread's stack leads to, as it is while the thread sleeps; all when it runs.
 */
void ma_unwinder_load_for(struct ma_unwinder *unwinder, pid_t tid);

void ma_unwinder_destroy(struct ma_unwinder *unwinder);

/* Walks a stopped thread by unwind tables alone. Tracer. */
void ma_unwinder_walk(struct ma_unwinder *unwinder, pid_t tid, const struct ma_regs *regs,
		      struct ma_stack_walk *walk);

/*
 * The innermost frames of a stopped thread, at most `room` of them, as far as unwind tables alone
 * lead; memory: the thread's own. Returns how many, 0 = none. No unwinder finds none. Tracer.
 */
int ma_unwinder_top(struct ma_unwinder *unwinder, const struct ma_target_memory *memory, pid_t tid,
		    const struct ma_regs *regs, uint64_t *pc, int room);

/* Walks with libunwind-ptrace, which guesses where tables are missing; complete says only that it
 * came to an end. Tracer. */
void ma_unwinder_walk_ptrace(pid_t tid, struct ma_stack_walk *walk);

/*
 * Opens the file that a module of a process was mapped from, also in another mount namespace or
 * when it was deleted: through /proc/PID/root if that is still the same inode, else map_files.
 * Returns an fd (returned-owned, CLOEXEC) and its path, or -1.
 */
int ma_unwinder_open_file(const struct ma_view *view, uint64_t address, char *path, size_t room)
	__attribute__((nonnull));

#endif
