/* SPDX-License-Identifier: MIT */
/* Signal handlers of the live view; see guard.h. They only touch what may be touched in one. */
#include "cli/live/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_INTERRUPTED = 130 };

enum kind { KIND_LEAVE, KIND_RESIZED, KIND_SUSPEND, KIND_CRASH };

static const struct {
	int number;
	enum kind kind;
} handled[] = {
	{SIGINT, KIND_LEAVE},     {SIGTERM, KIND_LEAVE},   {SIGHUP, KIND_LEAVE},
	{SIGWINCH, KIND_RESIZED}, {SIGTSTP, KIND_SUSPEND}, {SIGQUIT, KIND_CRASH},
	{SIGSEGV, KIND_CRASH},    {SIGBUS, KIND_CRASH},    {SIGILL, KIND_CRASH},
	{SIGFPE, KIND_CRASH},     {SIGABRT, KIND_CRASH},
};

enum { HANDLED = sizeof handled / sizeof handled[0] };

static struct ma_guard_terminal guarded;
static struct sigaction before[HANDLED];
static int pipe_ends[2] = {-1, -1};
static atomic_bool armed;
static atomic_int leave_count, resized_count, suspend_count;

void ma_guard_restore(void)
{
	if (!atomic_exchange(&armed, false))
		return;
	int kept = errno;
	ssize_t ignored = write(guarded.fd, guarded.text, guarded.bytes);
	(void)ignored;
	tcsetattr(guarded.fd, TCSANOW, &guarded.modes);
	errno = kept;
}

static void wake(void)
{
	int kept = errno;
	ssize_t ignored = write(pipe_ends[1], "", 1);
	(void)ignored;
	errno = kept;
}

static void on_leave(int number)
{
	(void)number;
	if (atomic_fetch_add(&leave_count, 1) == 0) {
		wake();
		return;
	}
	ma_guard_restore();
	_exit(EXIT_INTERRUPTED);
}

static void on_note(int number)
{
	atomic_fetch_add(number == SIGWINCH ? &resized_count : &suspend_count, 1);
	wake();
}

static void on_crash(int number)
{
	ma_guard_restore();
	/* The handler is gone by SA_RESETHAND: this time the signal does what it always does. */
	raise(number);
}

static void set_handler(int index)
{
	static void (*const handlers[])(int) = {
		[KIND_LEAVE] = on_leave,
		[KIND_RESIZED] = on_note,
		[KIND_SUSPEND] = on_note,
		[KIND_CRASH] = on_crash,
	};
	struct sigaction action;
	memset(&action, 0, sizeof action);
	sigemptyset(&action.sa_mask);
	action.sa_handler = handlers[handled[index].kind];
	action.sa_flags = handled[index].kind == KIND_CRASH ? (int)SA_RESETHAND : 0;
	sigaction(handled[index].number, &action, &before[index]);
}

int ma_guard_begin(const struct ma_guard_terminal *terminal)
{
	if (pipe2(pipe_ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	guarded = *terminal;
	atomic_store(&leave_count, 0);
	atomic_store(&armed, true);
	for (int i = 0; i < HANDLED; i++)
		set_handler(i);
	return pipe_ends[0];
}

struct ma_guard_signals ma_guard_take(void)
{
	char bytes[64];
	while (read(pipe_ends[0], bytes, sizeof bytes) > 0)
		;
	return (struct ma_guard_signals){
		.leave = atomic_load(&leave_count) > 0,
		.resized = atomic_exchange(&resized_count, 0) > 0,
		.suspend = atomic_exchange(&suspend_count, 0) > 0,
	};
}

void ma_guard_end(void)
{
	atomic_store(&armed, false);
	for (int i = 0; i < HANDLED; i++)
		sigaction(handled[i].number, &before[i], NULL);
	close(pipe_ends[0]);
	close(pipe_ends[1]);
	pipe_ends[0] = pipe_ends[1] = -1;
}
