/* SPDX-License-Identifier: MIT */
#include "inject/interrupted.h"

#include <stdint.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/procfs.h"

enum { WRAPPER_FRAMES = 8 }; /* of libc between a system call and whoever wanted it */

#define SIGNAL_BIT(signal) (UINT64_C(1) << ((signal)-1))

/* What these do unless they are caught is nothing (signal(7)). */
static const uint64_t ignored_by_default =
	SIGNAL_BIT(SIGCHLD) | SIGNAL_BIT(SIGCONT) | SIGNAL_BIT(SIGURG) | SIGNAL_BIT(SIGWINCH);

/* How to tell from its arguments that a call waits without limit. */
enum limit {
	LIMIT_NONE,     /* it has no timeout at all */
	LIMIT_NEGATIVE, /* argument `arg` is an int, negative: no limit */
	LIMIT_POINTER,  /* argument `arg` is a pointer, NULL: no limit */
	LIMIT_HIDDEN,   /* the timeout is an option of the socket */
};

static const struct {
	int64_t number;
	enum limit limit;
	int arg;
} interrupted_calls[] = {
	{SYS_epoll_wait, LIMIT_NEGATIVE, 3},
	{SYS_epoll_pwait, LIMIT_NEGATIVE, 3},
	{441 /* epoll_pwait2 */, LIMIT_POINTER, 3},
	{SYS_semop, LIMIT_NONE, 0},
	{SYS_semtimedop, LIMIT_POINTER, 3},
	{SYS_rt_sigtimedwait, LIMIT_POINTER, 2},
	{SYS_io_getevents, LIMIT_POINTER, 4},
	{333 /* io_pgetevents */, LIMIT_POINTER, 4},
	{SYS_read, LIMIT_HIDDEN, 0},
	{SYS_readv, LIMIT_HIDDEN, 0},
	{SYS_recvfrom, LIMIT_HIDDEN, 0},
	{SYS_recvmsg, LIMIT_HIDDEN, 0},
	{SYS_recvmmsg, LIMIT_HIDDEN, 0},
	{SYS_accept, LIMIT_HIDDEN, 0},
	{SYS_accept4, LIMIT_HIDDEN, 0},
	{SYS_connect, LIMIT_HIDDEN, 0},
	{SYS_write, LIMIT_HIDDEN, 0},
	{SYS_writev, LIMIT_HIDDEN, 0},
	{SYS_sendto, LIMIT_HIDDEN, 0},
	{SYS_sendmsg, LIMIT_HIDDEN, 0},
};
enum { CALLS = sizeof(interrupted_calls) / sizeof(interrupted_calls[0]) };

static int find_call(int64_t number)
{
	for (int i = 0; i < CALLS; i++)
		if (interrupted_calls[i].number == number)
			return i;
	return -1;
}

bool ma_interrupted_by_stop(int64_t syscall_number)
{
	int call = find_call(syscall_number);

	return call >= 0 && interrupted_calls[call].limit != LIMIT_HIDDEN;
}

bool ma_interrupted_perhaps(int64_t syscall_number)
{
	return find_call(syscall_number) >= 0;
}

static bool unlimited(const struct ma_regs *regs, int call)
{
	uint64_t value = ma_arch.syscall_arg(regs, interrupted_calls[call].arg);

	switch (interrupted_calls[call].limit) {
	case LIMIT_NONE:
		return true;
	case LIMIT_NEGATIVE:
		return (int32_t)(uint32_t)value < 0;
	case LIMIT_POINTER:
		return value == 0;
	case LIMIT_HIDDEN:
		break;
	}
	return false;
}

/* Is a signal about to do something here? Then the EINTR is not ours. One that is ignored counts
 * for nothing: only because we trace the thread does the kernel not throw it away at once
 * (sig_ignored() of kernel/signal.c). */
static bool signal_pending(const struct ma_tracee *tracee)
{
	struct ma_proc_status status;
	uint64_t pending;

	if (ma_proc_status_read(tracee->pid, tracee->tid, &status, NULL))
		return true;
	pending = (status.signals_pending | status.signals_shared) & ~status.signals_blocked;
	return (pending & ~status.signals_ignored &
		~(ignored_by_default & ~status.signals_caught)) != 0;
}

/* Whose code called libc's wrapper? Told by unwind tables, not by how the words on the stack look:
 * wrappers have slots that they never write, and to a program at a low, fixed address any small
 * number that was left there is an address in its code. */
static bool called_by_python(const struct ma_tracee *tracee, const struct ma_view *view,
			     struct ma_unwinder *unwinder)
{
	const struct ma_link_map *map = &view->link_map;
	uint64_t pc[WRAPPER_FRAMES];
	int count = ma_unwinder_top(unwinder, &view->memory, tracee->tid, &tracee->context.regs, pc,
				    WRAPPER_FRAMES);

	for (int i = 0; i < count; i++) {
		const struct ma_link_object *object = ma_link_map_find(map, pc[i]);

		if (object && (object == &map->object[map->libc_object] ||
			       strstr(object->module.path, "/libpthread")))
			continue;
		return object && (object == &map->object[view->interpreter.object] ||
				  strstr(object->module.path, "/lib-dynload/"));
	}
	return false;
}

enum ma_settled ma_interrupted_settle(struct ma_tracee *tracee, const struct ma_view *view,
				      struct ma_unwinder *unwinder)
{
	struct ma_regs *regs = &tracee->context.regs;
	struct ma_regs changed = *regs;
	uint8_t code[16];
	bool endless;
	int call;

	if (ma_arch.interrupted(regs) != MA_INTERRUPTED_EINTR)
		return MA_SETTLED_NOTHING;
	call = find_call(ma_arch.syscall_number(regs));
	if (call < 0 || signal_pending(tracee))
		return MA_SETTLED_NOTHING;
	endless = unlimited(regs, call);
	if (!endless && called_by_python(tracee, view, unwinder))
		return MA_SETTLED_LEFT;
	if (ma_memory_read(&view->memory, ma_raddr(ma_arch.pc(regs) - ma_arch.syscall_bytes), code,
			   ma_arch.syscall_bytes, NULL) ||
	    !ma_arch.is_syscall(code))
		return MA_SETTLED_NOTHING;
	ma_arch.step_back(&changed);
	if (ma_arch.regs_set(tracee->tid, &changed))
		return MA_SETTLED_NOTHING;
	tracee->interrupted_regs = *regs;
	tracee->stepped_back = true;
	*regs = changed;
	return endless ? MA_SETTLED_RESTARTED : MA_SETTLED_PROLONGED;
}

void ma_interrupted_recheck(struct ma_tracee *tracee)
{
	if (!tracee->stepped_back || tracee->hijacked || tracee->state != MA_TRACEE_STOPPED)
		return;
	if (signal_pending(tracee))
		ma_arch.regs_set(tracee->tid, &tracee->interrupted_regs);
	tracee->stepped_back = false;
}

bool ma_interrupted_let_go(struct ma_tracee *tracee, const struct ma_view *view,
			   struct ma_unwinder *unwinder)
{
	if (tracee->state == MA_TRACEE_RUNNING && ma_tracee_wait(tracee, 0, NULL) == MA_ERR_UNSAFE)
		return false;
	/* One that runs a call of ours has other registers than its own. */
	if (tracee->state == MA_TRACEE_STOPPED && !tracee->hijacked && !tracee->abandoned &&
	    !ma_tracee_read_regs(tracee, NULL))
		ma_interrupted_settle(tracee, view, unwinder);
	if (tracee->state != MA_TRACEE_GONE)
		ma_tracee_detach(tracee);
	return true;
}
