/* SPDX-License-Identifier: MIT */
/* Signal handlers of the command line; see interrupt.h. What they touch is of signal-safe types. */
#include "cli/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_INTERRUPTED = 130 };

static const int handled[] = {SIGINT, SIGTERM, SIGHUP};

static atomic_int times_asked;
static _Atomic(const char *) file_to_remove;

static void on_signal(int signal_number)
{
	(void)signal_number;
	if (atomic_fetch_add(&times_asked, 1) == 0)
		return;
	const char *path = atomic_load(&file_to_remove);
	if (path)
		unlink(path);
	static const char sentence[] = "\nmemattach: left at the second interrupt; `memattach "
				       "status` says what is attached\n";
	ssize_t ignored = write(STDERR_FILENO, sentence, sizeof sentence - 1);
	(void)ignored;
	_exit(EXIT_INTERRUPTED);
}

static void set_all(void (*handler)(int))
{
	struct sigaction action;
	memset(&action, 0, sizeof action);
	action.sa_handler = handler;
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) {
		struct sigaction before;
		/* nohup and `&` in a script set these to be ignored: respect that. */
		if (handler != SIG_DFL && sigaction(handled[i], NULL, &before) == 0 &&
		    before.sa_handler == SIG_IGN)
			continue;
		sigaction(handled[i], &action, NULL);
	}
}

void ma_interrupt_init(void)
{
	set_all(on_signal);
}

bool ma_interrupt_seen(void)
{
	return atomic_load(&times_asked) > 0;
}

void ma_interrupt_sleep_ms(uint64_t milliseconds)
{
	/* A signal between the look and the sleep would be slept through: block them in between. */
	sigset_t blocked, before;
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++)
		sigaddset(&blocked, handled[i]);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	struct timespec time = {(time_t)(milliseconds / 1000),
				(long)(milliseconds % 1000 * 1000000)};
	if (!ma_interrupt_seen())
		pselect(0, NULL, NULL, NULL, &time, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void ma_interrupt_remove_on_exit(const char *path)
{
	atomic_store(&file_to_remove, path);
}

void ma_interrupt_reset(void)
{
	set_all(SIG_DFL);
}
