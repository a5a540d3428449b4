/* SPDX-License-Identifier: MIT */
/*
 * System calls that a mere stop ends with EINTR (signal(7), "Interruption of system calls ... by
 * stop signals"). The kernel restarts most calls by itself; for a few it does not, and a program
 * that never expected a signal would see an error that we caused. Such a call is made to start
 * over, unless the caller is CPython itself, which retries with what is left of the timeout (PEP
 * 475).
 */
#ifndef MA_INJECT_INTERRUPTED_H
#define MA_INJECT_INTERRUPTED_H

#include "inject/inspect.h"
#include "inject/tracee.h"
#include "inject/unwinder.h"

enum ma_settled {
	MA_SETTLED_NOTHING,   /* nothing was to be done */
	MA_SETTLED_LEFT,      /* CPython sees the EINTR, and retries */
	MA_SETTLED_RESTARTED, /* started over; it had no timeout, so nobody can tell */
	MA_SETTLED_PROLONGED, /* started over with its whole timeout: it may return late */
};

/*
 * Looks at a stopped tracee whose context.regs are current, and changes its registers (in the
 * thread and in the context) where the call is to start over. To be called once after each stop,
 * before the registers are saved. unwinder: of this view, whatever memory it reads otherwise; it
 * tells who called. Tracer.
 */
enum ma_settled ma_interrupted_settle(struct ma_tracee *tracee, const struct ma_view *view,
				      struct ma_unwinder *unwinder);

/*
 * To be called right before a tracee is let go: a signal that came while the thread was stopped
 * must end the call that was made to start over, or the program would sleep through it.
 */
void ma_interrupted_recheck(struct ma_tracee *tracee);

/*
 * Lets a thread go that was asked to stop and is needed no more. Also when it stops only now: a
 * call that our asking ended starts over. True: done; false: it has not stopped yet. Never blocks.
 * Tracer.
 */
bool ma_interrupted_let_go(struct ma_tracee *tracee, const struct ma_view *view,
			   struct ma_unwinder *unwinder);

/* Is this a call that ends with EINTR when its thread is stopped? For choosing a thread. */
bool ma_interrupted_by_stop(int64_t syscall_number);

/* Is it one of those, or one that is when its socket has a time limit, which cannot be seen? */
bool ma_interrupted_perhaps(int64_t syscall_number);

#endif
