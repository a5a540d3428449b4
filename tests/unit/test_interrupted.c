/* SPDX-License-Identifier: MIT */
/* System calls that a stop ends with EINTR: which start over, which are left, which a signal ends.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child_process.h"
#include "inject/clock.h"
#include "inject/interrupted.h"
#include "trace_target.h"

static void ignore(int signal)
{
	(void)signal;
}

/* Waits in epoll_wait on its own input, and says how that ended. */
static int wait_for_input(void *context)
{
	int timeout_ms = *(const int *)context;
	struct epoll_event event = {.events = EPOLLIN};
	struct sigaction action = {.sa_handler = ignore};
	int epoll = epoll_create1(0);
	int ready;

	sigaction(SIGUSR2, &action, NULL); /* without SA_RESTART: it ends the wait */
	epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event);
	dprintf(STDOUT_FILENO, "ready\n");
	ready = epoll_wait(epoll, &event, 1, timeout_ms);
	dprintf(STDOUT_FILENO, "%s\n", ready < 0 ? strerrorname_np(errno) : "input");
	return 0;
}

static void wait_until_it_waits(pid_t pid)
{
	uint64_t deadline = ma_clock_ns() + 10 * MA_NS_PER_S;
	struct ma_proc_syscall call;

	do {
		assert_true(ma_clock_ns() < deadline);
		ma_clock_pause(MA_NS_PER_MS);
		assert_int_equal(ma_proc_syscall_read(pid, 0, &call, NULL), 0);
	} while (call.running || (call.number != SYS_epoll_wait && call.number != SYS_epoll_pwait));
}

enum which { AS_STRANGER, AS_PYTHON };

struct visit {
	struct child child;
	struct ma_view view;
	struct ma_unwinder *unwinder;
	struct ma_tracee tracee;
	enum ma_settled settled;
};

static void stop(struct visit *visit, int timeout_ms, enum which which)
{
	char line[40];

	assert_int_equal(child_fork(&visit->child, wait_for_input, &timeout_ms), 0);
	assert_string_equal(child_line(&visit->child, line, sizeof(line)), "ready");
	wait_until_it_waits(visit->child.pid);
	trace_view_open(&visit->view, visit->child.pid);
	assert_int_equal(ma_tracee_seize(&visit->tracee, visit->child.pid, visit->child.pid, NULL),
			 0);
	assert_int_equal(ma_tracee_interrupt(&visit->tracee, ma_clock_ns() + MA_NS_PER_S, NULL), 0);
	assert_int_equal(ma_tracee_read_regs(&visit->tracee, NULL), 0);
	/* The test program plays the interpreter, or nobody does. */
	visit->view.interpreter.object = which == AS_PYTHON ? 0 : visit->view.link_map.loader;
	visit->unwinder = ma_unwinder_create(&visit->view);
	assert_non_null(visit->unwinder);
	visit->settled = ma_interrupted_settle(&visit->tracee, &visit->view, visit->unwinder);
}

static void let_go(struct visit *visit, const char *expected)
{
	char line[40];

	ma_interrupted_recheck(&visit->tracee);
	ma_tracee_detach(&visit->tracee);
	if (!strcmp(expected, "input")) {
		wait_until_it_waits(visit->child.pid);
		assert_int_equal(write(visit->child.input, "x", 1), 1);
	}
	assert_string_equal(child_line(&visit->child, line, sizeof(line)), expected);
	ma_unwinder_destroy(visit->unwinder);
	trace_view_close(&visit->view);
	child_end(&visit->child);
}

static void an_endless_wait_starts_over(void **state)
{
	static struct visit visit;

	(void)state;
	stop(&visit, -1, AS_STRANGER);
	assert_int_equal(visit.settled, MA_SETTLED_RESTARTED);
	let_go(&visit, "input");
	stop(&visit, -1, AS_PYTHON);
	assert_int_equal(visit.settled, MA_SETTLED_RESTARTED);
	let_go(&visit, "input");
}

static void a_strangers_limited_wait_starts_over(void **state)
{
	static struct visit visit;

	(void)state;
	stop(&visit, 1000000, AS_STRANGER);
	assert_int_equal(visit.settled, MA_SETTLED_PROLONGED);
	let_go(&visit, "input");
}

static void pythons_limited_wait_is_left_to_it(void **state)
{
	static struct visit visit;

	(void)state;
	stop(&visit, 1000000, AS_PYTHON);
	assert_int_equal(visit.settled, MA_SETTLED_LEFT);
	let_go(&visit, "EINTR");
}

static void a_signal_ends_the_wait_all_the_same(void **state)
{
	static struct visit visit;

	(void)state;
	stop(&visit, -1, AS_STRANGER);
	kill(visit.child.pid, SIGUSR2);
	let_go(&visit, "EINTR");
}

/* The kernel keeps one for us only because we trace the thread. */
static void an_ignored_signal_ends_nothing(void **state)
{
	static struct visit visit;

	(void)state;
	stop(&visit, -1, AS_STRANGER);
	kill(visit.child.pid, SIGCHLD);
	let_go(&visit, "input");
}

static void a_pending_signal_is_not_taken_for_ours(void **state)
{
	static struct ma_tracee tracee;
	struct ma_view view;
	struct child child;
	int endless = -1;
	char line[40];

	(void)state;
	assert_int_equal(child_fork(&child, wait_for_input, &endless), 0);
	child_line(&child, line, sizeof(line));
	wait_until_it_waits(child.pid);
	trace_view_open(&view, child.pid);
	assert_int_equal(ma_tracee_seize(&tracee, child.pid, child.pid, NULL), 0);
	assert_int_equal(ma_tracee_interrupt(&tracee, ma_clock_ns() + MA_NS_PER_S, NULL), 0);
	kill(child.pid, SIGUSR2);
	assert_int_equal(ma_tracee_read_regs(&tracee, NULL), 0);
	assert_int_equal(ma_interrupted_settle(&tracee, &view, NULL), MA_SETTLED_NOTHING);
	ma_tracee_detach(&tracee);
	assert_string_equal(child_line(&child, line, sizeof(line)), "EINTR");
	trace_view_close(&view);
	child_end(&child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_endless_wait_starts_over),
		cmocka_unit_test(a_strangers_limited_wait_starts_over),
		cmocka_unit_test(pythons_limited_wait_is_left_to_it),
		cmocka_unit_test(a_signal_ends_the_wait_all_the_same),
		cmocka_unit_test(an_ignored_signal_ends_nothing),
		cmocka_unit_test(a_pending_signal_is_not_taken_for_ours),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
