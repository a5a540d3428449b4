/* SPDX-License-Identifier: MIT */
/*
 * One thread of the target under ptrace: seized, interrupted, looked at, borrowed, given back. A
 * tracee that was borrowed (hijacked) is given back whole before it is detached: general registers,
 * extended state, signal mask. Signals that arrive meanwhile are delivered, never swallowed.
 *
 * Only the process that seized a thread may use it, on the thread that seized it. Never traced with
 * PTRACE_O_EXITKILL: when the tracer dies the kernel lets the tracee go on as it is.
 */
#ifndef MA_INJECT_TRACEE_H
#define MA_INJECT_TRACEE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/arch/arch.h"
#include "proto/error.h"

enum ma_tracee_state {
	MA_TRACEE_DETACHED, /* not ours */
	MA_TRACEE_RUNNING,
	MA_TRACEE_STOPPED, /* PTRACE_EVENT_STOP: our interrupt, or the group's stop */
	MA_TRACEE_SIGNAL,  /* signal-delivery-stop; `signal` is delivered when it resumes */
	MA_TRACEE_SYSCALL, /* syscall-enter-stop or syscall-exit-stop */
	MA_TRACEE_EXECED,  /* PTRACE_EVENT_EXEC: another program runs there now */
	MA_TRACEE_GONE,    /* ended, or vanished in another thread's exec */
};

struct ma_tracee {
	pid_t pid;
	pid_t tid;
	enum ma_tracee_state state;
	int signal;                      /* pending redelivery; 0 = none */
	bool group_stopped;              /* it was stopped (SIGSTOP, Ctrl-Z) when we came */
	bool saved;                      /* context holds what it must have in the end */
	bool hijacked;                   /* its registers are ours at the moment */
	bool abandoned;                  /* runs a call that did not come back: restores itself */
	bool stepped_back;               /* its system call is to start over (interrupted.h) */
	uint64_t asked_ns;               /* when the stop was asked for */
	struct ma_regs interrupted_regs; /* what they were before stepping back */
	struct ma_context context;
};

/* How a tracee goes on. */
enum ma_resume { MA_RESUME_FREELY, MA_RESUME_TO_SYSCALL };

/*
 * Seizes a running thread. Errors: MA_ERR_NO_PROCESS (gone), MA_ERR_PERMISSION (EPERM, which also
 * says that another tracer has it; the caller explains).
 */
int ma_tracee_seize(struct ma_tracee *tracee, pid_t pid, pid_t tid, struct ma_error *error);

/*
 * Stops a seized thread and waits for it. Signals that come first are delivered. Returns 0 in state
 * STOPPED; MA_ERR_UNSAFE when it does not stop by the deadline (it keeps running, and will stop
 * later: ma_tracee_settle); MA_ERR_NO_PROCESS when it is gone or another program was executed.
 */
int ma_tracee_interrupt(struct ma_tracee *tracee, uint64_t deadline_ns, struct ma_error *error);

/* Asks only; ma_tracee_await_stop waits. For stopping many threads at once. */
int ma_tracee_ask(struct ma_tracee *tracee, struct ma_error *error);
int ma_tracee_await_stop(struct ma_tracee *tracee, uint64_t deadline_ns, struct ma_error *error);

/*
 * Waits for the next stop of a running tracee, whatever it is. 0 and the state; MA_ERR_UNSAFE at
 * the deadline; MA_ERR_NO_PROCESS when it is gone.
 */
int ma_tracee_wait(struct ma_tracee *tracee, uint64_t deadline_ns, struct ma_error *error);

/* Lets a stopped tracee go on, delivering `signal`. */
int ma_tracee_resume(struct ma_tracee *tracee, enum ma_resume how, struct ma_error *error);

/* Reads the general registers only, into context.regs. */
int ma_tracee_read_regs(struct ma_tracee *tracee, struct ma_error *error);

/* Saves everything that ma_tracee_restore puts back. State STOPPED, not hijacked. */
int ma_tracee_save(struct ma_tracee *tracee, struct ma_error *error);

/*
 * Gives a saved, stopped tracee other registers and a signal mask. Registers first: should we die
 * between the two, what runs restores the old mask.
 */
int ma_tracee_hijack(struct ma_tracee *tracee, const struct ma_regs *regs, uint64_t signal_mask,
		     struct ma_error *error);

/*
 * Puts a hijacked tracee back to its saved context, bringing it first to a stop where the kernel's
 * own restart of system calls still works. Mask before registers. Afterwards it is stopped and not
 * hijacked.
 */
int ma_tracee_restore(struct ma_tracee *tracee, struct ma_error *error);

/* Restores if need be and detaches from a stopped tracee, delivering what is pending. Never fails
 * in a way that anybody could do something about; a tracee that is gone is fine. */
void ma_tracee_detach(struct ma_tracee *tracee);

/* Looks after a tracee that did not stop in time: detaches it if it has stopped by now. Returns
 * true when nothing is left to be done. Should the tracer end first, the kernel does the rest. */
bool ma_tracee_settle(struct ma_tracee *tracee);

#endif
