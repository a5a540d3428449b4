/* SPDX-License-Identifier: MIT */
/*
 * May this stopped thread be made to call a libc function? Only from a point where it cannot hold a
 * lock that the call needs. The rule is a whitelist: no frame of the dynamic loader or of an
 * allocator anywhere on its stack; frames of libc only as the innermost run, under a wrapper that
 * waits or in a call that only waiting makes, or at the start of the thread; no frame of unknown
 * code. A mere system call needs less: no restartable sequence under way and room on the stack.
 */
#ifndef MA_INJECT_SAFE_POINT_H
#define MA_INJECT_SAFE_POINT_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/inspect.h"
#include "inject/tracee.h"
#include "inject/unwinder.h"

enum ma_need {
	MA_NEED_SYSCALLS, /* remote system calls only */
	MA_NEED_CALLS,    /* a call into libc too */
};

struct ma_range {
	uint64_t start;
	uint64_t end; /* exclusive */
};
static inline bool ma_range_has(const struct ma_range *range, uint64_t address)
{
	return address >= range->start && address < range->end;
}

enum { MA_SAFE_FUNCTIONS = 192, MA_SAFE_OBJECTS = 8, MA_SAFE_OWN = 4 };

/* Function and object ranges of one target, looked up before it is stopped. */
struct ma_safe_rules {
	const struct ma_view *view;
	struct ma_range loader;
	struct ma_range libc[MA_SAFE_OBJECTS]; /* with libpthread and the like, and the vDSO */
	int libc_count;
	struct ma_range allocator; /* an allocator in an object of its own; empty = libc's */
	bool allocator_inside;     /* it is part of the program itself: its frames cannot be told */
	struct ma_range waiting[MA_SAFE_FUNCTIONS]; /* wrappers that never call an allocator */
	int waiting_count;
	struct ma_range reading[MA_SAFE_FUNCTIONS]; /* safe only while they wait for input */
	int reading_count;
	struct ma_range starting[MA_SAFE_FUNCTIONS]; /* where threads begin */
	int starting_count;
	struct ma_range locking[MA_SAFE_FUNCTIONS]; /* allocator, loader, fork: never */
	int locking_count;
	struct ma_range own[MA_SAFE_OWN]; /* our hook, our resident code, our thunks */
	int own_count;
	bool same_root; /* the target's files have the names that we know them by */
};

/* Looks everything up in view (borrowed, must outlive the rules). */
void ma_safe_rules_init(struct ma_safe_rules *rules, const struct ma_view *view);

/* Adds a range of ours, where nobody may be. */
void ma_safe_rules_own(struct ma_safe_rules *rules, uint64_t start, uint64_t end);

/*
 * Judges a stopped tracee whose context.regs are current. frame_bytes: room needed below its red
 * zone. Returns whether it is safe; `why` (room bytes) says what was found, either way. Tracer.
 */
bool ma_safe_point(const struct ma_safe_rules *rules, struct ma_unwinder *unwinder,
		   const struct ma_tracee *tracee, enum ma_need need, size_t frame_bytes, char *why,
		   size_t room);

/* What a stopped thread was waiting for, as its system call tells. */
enum ma_waiting {
	MA_WAITING_UNKNOWN, /* not in a system call, or in one that an allocator may make too */
	MA_WAITING_INPUT,   /* reading; an allocator's configuration is read too, once */
	MA_WAITING_TIME,    /* asleep; some allocators sleep when their locks are taken */
	MA_WAITING_EVENT,   /* in a call that neither an allocator nor the loader ever makes */
};
enum ma_waiting ma_safe_waiting(const struct ma_regs *regs);

/* The same judgement of a stack that was walked already, without ptrace. */
bool ma_safe_stack(const struct ma_safe_rules *rules, const uint64_t *pc, int count,
		   enum ma_waiting waiting, char *why, size_t room);

#endif
