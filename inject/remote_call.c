/* SPDX-License-Identifier: MIT */
#include "inject/remote_call.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>

#include "inject/clock.h"

#define SIGNAL_BIT(signal) (UINT64_C(1) << ((signal)-1))

/* During a function call: what the stub sends, and what tells of a crash. */
static const uint64_t open_signals = SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGTRAP) |
				     SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGILL) |
				     SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGSYS);

enum { STOPS_AT_MOST = 256, SYSCALL_SECONDS = 5 };

void ma_remote_init(struct ma_remote *remote, struct ma_tracee *tracee,
		    const struct ma_target_memory *memory, const struct ma_machine *machine)
{
	*remote = (struct ma_remote){.tracee = tracee, .memory = memory, .machine = machine};
}

/* Writes the frame below the red zone of the thread's stack, with the scratch bytes above it. */
static int write_frame(struct ma_remote *remote, struct ma_error *error)
{
	const struct ma_context *context = &remote->tracee->context;
	uint64_t bytes[MA_REMOTE_STACK_BYTES / sizeof(uint64_t)];
	size_t size = ma_arch.frame_bytes(context, remote->machine);
	uint64_t top = ma_arch.sp(&context->regs) - ma_arch.red_zone_bytes;
	uint64_t scratch = (top - MA_REMOTE_SCRATCH_BYTES) & ~UINT64_C(63);
	uint64_t frame = scratch - size;
	int failed;

	ma_arch.frame_build(context, remote->machine, frame, bytes);
	failed = ma_memory_write(remote->memory, ma_raddr(frame), bytes, size, error);
	if (failed)
		return failed;
	remote->frame = frame;
	remote->scratch = scratch;
	return 0;
}

int ma_remote_put(struct ma_remote *remote, const void *bytes, size_t count, uint64_t *address,
		  struct ma_error *error)
{
	if (!remote->frame) {
		int failed = write_frame(remote, error);

		if (failed)
			return failed;
	}
	*address = remote->scratch;
	return ma_memory_write(remote->memory, ma_raddr(remote->scratch), bytes, count, error);
}

int ma_remote_syscall(struct ma_remote *remote, int64_t number, const uint64_t args[6],
		      int64_t *result, struct ma_error *error)
{
	struct ma_tracee *tracee = remote->tracee;
	uint64_t deadline = ma_clock_ns() + SYSCALL_SECONDS * MA_NS_PER_S;
	struct ma_regs regs = tracee->context.regs;
	int syscall_stops = 0;
	int failed = 0;

	if (!remote->frame)
		failed = write_frame(remote, error);
	if (failed)
		return failed;
	ma_arch.setup_syscall(&regs, remote->machine, remote->frame, number, args);
	failed = ma_tracee_hijack(tracee, &regs, UINT64_MAX, error);
	/* One stop on the way in, one on the way out. Stops of other kinds (a group stop) are
	 * passed over; their signals are delivered. */
	for (int i = 0; !failed && syscall_stops < 2 && i < STOPS_AT_MOST; i++) {
		failed = ma_tracee_resume(tracee, MA_RESUME_TO_SYSCALL, error);
		if (!failed)
			failed = ma_tracee_wait(tracee, deadline, error);
		if (!failed && tracee->state == MA_TRACEE_SYSCALL)
			syscall_stops++;
	}
	if (failed) {
		/* Still under way: it will restore itself. */
		tracee->abandoned = tracee->state == MA_TRACEE_RUNNING;
		return failed;
	}
	if (syscall_stops < 2 || ma_arch.regs_get(tracee->tid, &regs) ||
	    ma_arch.pc(&regs) != remote->machine->syscall_return + ma_arch.syscall_bytes)
		return ma_error_set(error, MA_ERR_FAILED, 0,
				    "making system call %lld in thread %d of %d", (long long)number,
				    tracee->tid, tracee->pid);
	*result = ma_arch.syscall_result(&regs);
	return 0;
}

int ma_remote_demand(struct ma_remote *remote, const char *what, int64_t number,
		     const uint64_t args[6], uint64_t *result, struct ma_error *error)
{
	int64_t value;
	int failed = ma_remote_syscall(remote, number, args, &value, error);

	if (failed)
		return failed;
	if (value < 0 && value >= -4095)
		return ma_error_set(error, MA_ERR_FAILED, (int)-value, "%s in process %d", what,
				    remote->tracee->pid);
	if (result)
		*result = (uint64_t)value;
	return 0;
}

static int prepare_call(struct ma_remote *remote, const struct ma_call_site *site,
			struct ma_error *error)
{
	const struct ma_context *context = &remote->tracee->context;
	uint64_t bytes[MA_REMOTE_STACK_BYTES / sizeof(uint64_t)];
	struct ma_stub_control control = {
		.tgid = site->tgid,
		.tid = site->tid,
		.sigreturn_sp = ma_arch.frame_sigreturn_sp(site->frame),
	};
	int failed;

	ma_arch.frame_build(context, remote->machine, site->frame, bytes);
	failed = ma_memory_write(remote->memory, ma_raddr(site->frame), bytes,
				 ma_arch.frame_bytes(context, remote->machine), error);
	if (!failed)
		failed = ma_memory_write(remote->memory, ma_raddr(site->control), &control,
					 sizeof(control), error);
	return failed;
}

/* Was this signal caused by what the thread does, and not sent by somebody? */
static bool is_crash(const struct ma_tracee *tracee)
{
	siginfo_t info;

	switch (tracee->signal) {
	case SIGSEGV:
	case SIGBUS:
	case SIGILL:
	case SIGFPE:
	case SIGSYS:
	case SIGTRAP:
		return !ptrace(PTRACE_GETSIGINFO, tracee->tid, NULL, &info) && info.si_code > 0;
	case SIGABRT: /* abort() opens it for itself */
		return !ptrace(PTRACE_GETSIGINFO, tracee->tid, NULL, &info) &&
		       info.si_code == SI_TKILL;
	default:
		return false;
	}
}

/* The call hangs. It is let go as it is: restoring the thread now would leave locks behind. */
static void abandon(struct ma_tracee *tracee)
{
	tracee->abandoned = true;
	ma_tracee_interrupt(tracee, ma_clock_ns() + MA_NS_PER_S, NULL);
}

static int stub_finished(struct ma_tracee *tracee, const struct ma_call_site *site)
{
	struct ma_regs regs;

	return tracee->signal == SIGURG && !ma_arch.regs_get(tracee->tid, &regs) &&
	       ma_arch.stub_done(site->stub, ma_arch.pc(&regs));
}

int ma_remote_call(struct ma_remote *remote, const struct ma_call_site *site, uint64_t function,
		   uint64_t argument, uint64_t deadline_ns, uint64_t *result,
		   struct ma_error *error)
{
	struct ma_tracee *tracee = remote->tracee;
	struct ma_regs regs = tracee->context.regs;
	int failed = prepare_call(remote, site, error);

	ma_arch.setup_call(&regs, site->stub, site->control, function, argument, site->stack_top);
	if (!failed)
		failed = ma_tracee_hijack(tracee, &regs, ~open_signals, error);
	while (!failed) {
		failed = ma_tracee_resume(tracee, MA_RESUME_FREELY, error);
		if (!failed)
			failed = ma_tracee_wait(tracee, deadline_ns, error);
		if (failed || tracee->state != MA_TRACEE_SIGNAL)
			continue;
		if (stub_finished(tracee, site)) {
			tracee->signal = 0;
			failed = ma_tracee_restore(tracee, error);
			break;
		}
		if (is_crash(tracee)) {
			int signal = tracee->signal;

			tracee->signal = 0;
			ma_tracee_restore(tracee, NULL);
			ma_error_set(error, MA_ERR_FAILED, 0, "running code in process %d",
				     tracee->pid);
			ma_error_answer(error, "it stopped with signal %d (%s)", signal,
					strsignal(signal));
			return MA_ERR_FAILED;
		}
	}
	if (failed) {
		if (failed == MA_ERR_UNSAFE)
			abandon(tracee);
		return failed;
	}
	return result ? ma_memory_read_u64(
				remote->memory,
				ma_raddr(site->control + offsetof(struct ma_stub_control, result)),
				result, error)
		      : 0;
}
