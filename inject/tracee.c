/* SPDX-License-Identifier: MIT */
/* The ptrace calls, and their order. ptrace(2); kernel/ptrace.c, kernel/signal.c. */
#include "inject/tracee.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "inject/clock.h"

enum {
	SIGNAL_MASK_BYTES = 8, /* the kernel's sigset_t */
	SPINS = 4,
	SYSCALL_STOP_SIGNAL = SIGTRAP | 0x80,
	EARLY_SIGNALS = 64, /* delivered ahead of our stop before we give the thread up */
};

static int ptrace_failed(struct ma_tracee *tracee, struct ma_error *error, const char *step)
{
	if (errno == ESRCH) {
		/* Not in a stop any more: killed, or taken along by another thread's exec. */
		tracee->state = MA_TRACEE_GONE;
		return ma_error_set(error, MA_ERR_NO_PROCESS, ESRCH, "%s of thread %d of %d", step,
				    tracee->tid, tracee->pid);
	}
	return ma_error_set(error, errno == EPERM ? MA_ERR_PERMISSION : MA_ERR_FAILED, errno,
			    "%s of thread %d of %d", step, tracee->tid, tracee->pid);
}

static bool in_stop(const struct ma_tracee *tracee)
{
	return tracee->state == MA_TRACEE_STOPPED || tracee->state == MA_TRACEE_SIGNAL ||
	       tracee->state == MA_TRACEE_SYSCALL || tracee->state == MA_TRACEE_EXECED;
}

int ma_tracee_seize(struct ma_tracee *tracee, pid_t pid, pid_t tid, struct ma_error *error)
{
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;

	memset(tracee, 0, offsetof(struct ma_tracee, context));
	tracee->pid = pid;
	tracee->tid = tid;
	if (ptrace(PTRACE_SEIZE, tid, NULL, options))
		return ptrace_failed(tracee, error, "tracing");
	tracee->state = MA_TRACEE_RUNNING;
	return 0;
}

int ma_tracee_ask(struct ma_tracee *tracee, struct ma_error *error)
{
	tracee->asked_ns = ma_clock_ns();
	if (ptrace(PTRACE_INTERRUPT, tracee->tid, NULL, NULL))
		return ptrace_failed(tracee, error, "stopping");
	return 0;
}

static void take_status(struct ma_tracee *tracee, int status)
{
	int event = status >> 16;

	tracee->signal = 0;
	if (!WIFSTOPPED(status)) {
		tracee->state = MA_TRACEE_GONE;
	} else if (event == PTRACE_EVENT_STOP) {
		tracee->state = MA_TRACEE_STOPPED;
		tracee->group_stopped = WSTOPSIG(status) != SIGTRAP;
	} else if (event == PTRACE_EVENT_EXEC) {
		tracee->state = MA_TRACEE_EXECED;
	} else if (WSTOPSIG(status) == SYSCALL_STOP_SIGNAL) {
		tracee->state = MA_TRACEE_SYSCALL;
	} else {
		tracee->state = MA_TRACEE_SIGNAL;
		tracee->signal = WSTOPSIG(status);
	}
}

/* Sleeps until some child or tracee has changed, 1 ms at most. The guardian has SIGCHLD blocked, so
 * that one which came before is still there; without that this is a slow poll. */
static void nap(void)
{
	const struct timespec limit = {.tv_nsec = MA_NS_PER_MS};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigtimedwait(&set, NULL, &limit);
}

int ma_tracee_wait(struct ma_tracee *tracee, uint64_t deadline_ns, struct ma_error *error)
{
	for (int tries = 0;; tries++) {
		int status;
		pid_t got = waitpid(tracee->tid, &status, __WALL | WNOHANG);

		if (got == tracee->tid) {
			take_status(tracee, status);
			break;
		}
		if (got < 0 && errno != EINTR) {
			tracee->state = MA_TRACEE_GONE;
			break;
		}
		if (ma_clock_ns() >= deadline_ns)
			return ma_error_set(error, MA_ERR_UNSAFE, 0,
					    "waiting for thread %d of %d to stop", tracee->tid,
					    tracee->pid);
		/* The tracee may need the very processor that we are on. */
		if (tries >= SPINS)
			nap();
	}
	if (tracee->state == MA_TRACEE_GONE)
		return ma_error_set(error, MA_ERR_NO_PROCESS, ESRCH, "waiting for thread %d of %d",
				    tracee->tid, tracee->pid);
	return 0;
}

int ma_tracee_resume(struct ma_tracee *tracee, enum ma_resume how, struct ma_error *error)
{
	int signal = tracee->state == MA_TRACEE_SIGNAL ? tracee->signal : 0;

	if (ptrace(how == MA_RESUME_TO_SYSCALL ? PTRACE_SYSCALL : PTRACE_CONT, tracee->tid, NULL,
		   (long)signal))
		return ptrace_failed(tracee, error, "resuming");
	tracee->state = MA_TRACEE_RUNNING;
	tracee->signal = 0;
	return 0;
}

int ma_tracee_await_stop(struct ma_tracee *tracee, uint64_t deadline_ns, struct ma_error *error)
{
	for (int i = 0; i < EARLY_SIGNALS; i++) {
		int failed = ma_tracee_wait(tracee, deadline_ns, error);

		if (failed)
			return failed;
		if (tracee->state == MA_TRACEE_STOPPED)
			return 0;
		if (tracee->state == MA_TRACEE_EXECED)
			return ma_error_set(error, MA_ERR_NO_PROCESS, 0,
					    "stopping %d: it has just executed another program",
					    tracee->pid);
		failed = ma_tracee_resume(tracee, MA_RESUME_FREELY, error);
		if (failed)
			return failed;
	}
	return ma_error_set(error, MA_ERR_UNSAFE, 0, "stopping thread %d of %d: signals rain on it",
			    tracee->tid, tracee->pid);
}

int ma_tracee_interrupt(struct ma_tracee *tracee, uint64_t deadline_ns, struct ma_error *error)
{
	int failed = ma_tracee_ask(tracee, error);

	return failed ? failed : ma_tracee_await_stop(tracee, deadline_ns, error);
}

int ma_tracee_read_regs(struct ma_tracee *tracee, struct ma_error *error)
{
	if (ma_arch.regs_get(tracee->tid, &tracee->context.regs))
		return ptrace_failed(tracee, error, "reading the registers");
	return 0;
}

int ma_tracee_save(struct ma_tracee *tracee, struct ma_error *error)
{
	int failed = ma_tracee_read_regs(tracee, error);

	if (failed)
		return failed;
	if (ma_arch.xstate_get(tracee->tid, &tracee->context))
		return ptrace_failed(tracee, error, "reading the extended registers");
	if (ptrace(PTRACE_GETSIGMASK, tracee->tid, (void *)SIGNAL_MASK_BYTES,
		   &tracee->context.signal_mask))
		return ptrace_failed(tracee, error, "reading the signal mask");
	tracee->saved = true;
	return 0;
}

int ma_tracee_hijack(struct ma_tracee *tracee, const struct ma_regs *regs, uint64_t signal_mask,
		     struct ma_error *error)
{
	tracee->hijacked = true;
	if (ma_arch.regs_set(tracee->tid, regs))
		return ptrace_failed(tracee, error, "setting the registers");
	if (ptrace(PTRACE_SETSIGMASK, tracee->tid, (void *)SIGNAL_MASK_BYTES, &signal_mask))
		return ptrace_failed(tracee, error, "setting the signal mask");
	return 0;
}

/* Brings a tracee from a syscall-stop, where the kernel would not restart its own interrupted
 * system call, to an event stop, without letting it run a single instruction: the interrupt is
 * pending when it leaves the kernel. */
static int park(struct ma_tracee *tracee, struct ma_error *error)
{
	bool group_stopped = tracee->group_stopped;
	int failed = 0;

	if (ptrace(PTRACE_INTERRUPT, tracee->tid, NULL, NULL))
		return ptrace_failed(tracee, error, "stopping");
	for (int i = 0; i < EARLY_SIGNALS && tracee->state == MA_TRACEE_SYSCALL; i++) {
		failed = ma_tracee_resume(tracee, MA_RESUME_FREELY, error);
		if (!failed)
			failed = ma_tracee_wait(tracee, ma_clock_ns() + 2 * MA_NS_PER_S, error);
		if (failed)
			break;
	}
	tracee->group_stopped = group_stopped;
	return failed;
}

int ma_tracee_restore(struct ma_tracee *tracee, struct ma_error *error)
{
	if (!tracee->hijacked)
		return 0;
	if (tracee->state == MA_TRACEE_SYSCALL) {
		int failed = park(tracee, error);

		if (failed)
			return failed;
	}
	if (ptrace(PTRACE_SETSIGMASK, tracee->tid, (void *)SIGNAL_MASK_BYTES,
		   &tracee->context.signal_mask))
		return ptrace_failed(tracee, error, "restoring the signal mask");
	if (ma_arch.xstate_set(tracee->tid, &tracee->context))
		return ptrace_failed(tracee, error, "restoring the extended registers");
	if (ma_arch.regs_set(tracee->tid, &tracee->context.regs))
		return ptrace_failed(tracee, error, "restoring the registers");
	tracee->hijacked = false;
	return 0;
}

void ma_tracee_detach(struct ma_tracee *tracee)
{
	if (in_stop(tracee)) {
		/* A context that cannot be put back now (the thread is being killed) needs none;
		 * one that was abandoned restores itself. */
		if (!tracee->abandoned && tracee->state != MA_TRACEE_EXECED)
			ma_tracee_restore(tracee, NULL);
		if (in_stop(tracee)) {
			int signal = tracee->state == MA_TRACEE_SIGNAL ? tracee->signal : 0;

			ptrace(PTRACE_DETACH, tracee->tid, NULL, (long)signal);
		}
	}
	tracee->state = MA_TRACEE_DETACHED;
	tracee->saved = false;
	tracee->hijacked = false;
}

bool ma_tracee_settle(struct ma_tracee *tracee)
{
	if (tracee->state == MA_TRACEE_RUNNING) {
		if (ma_tracee_wait(tracee, 0, NULL) == MA_ERR_UNSAFE)
			return false;
		if (tracee->state == MA_TRACEE_GONE)
			return true;
	}
	ma_tracee_detach(tracee);
	return true;
}
