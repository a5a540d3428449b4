/* SPDX-License-Identifier: MIT */
/* Stopping a thread and letting it go, with signals and job control in between. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/clock.h"
#include "inject/procfs.h"
#include "trace_target.h"

static char state_of(pid_t pid)
{
	struct ma_proc_stat found;

	assert_int_equal(ma_proc_stat_read(pid, 0, &found, NULL), 0);
	return found.state;
}

static void wait_for_state(pid_t pid, const char *states)
{
	uint64_t deadline = ma_clock_ns() + 10 * MA_NS_PER_S;

	while (!strchr(states, state_of(pid))) {
		assert_true(ma_clock_ns() < deadline);
		ma_clock_pause(MA_NS_PER_MS);
	}
}

static void a_stopped_thread_is_given_back(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_remote remote;

	(void)state;
	trace_start(&target, TRACE_REGISTERS);
	for (int i = 0; i < 50; i++) {
		trace_hold(&target, &tracee, &remote);
		assert_int_equal(tracee.state, MA_TRACEE_STOPPED);
		assert_false(tracee.group_stopped);
		ma_tracee_detach(&tracee);
		assert_int_equal(tracee.state, MA_TRACEE_DETACHED);
	}
	trace_goes_on(&target);
	trace_end(&target);
}

static void signals_are_delivered(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_remote remote;
	int64_t result;

	(void)state;
	trace_start(&target, TRACE_SLEEP);
	for (uint64_t i = 1; i <= 20; i++) {
		uint64_t deadline = ma_clock_ns() + 10 * MA_NS_PER_S;

		/* One before the stop, at the latest one that is sent while it is held. */
		if (i % 2)
			kill(target.pid, SIGUSR2);
		trace_hold(&target, &tracee, &remote);
		if (i % 2 == 0)
			kill(target.pid, SIGUSR2);
		assert_int_equal(
			ma_remote_syscall(&remote, SYS_getpid, (uint64_t[6]){0}, &result, NULL), 0);
		ma_tracee_detach(&tracee);
		while (__atomic_load_n(&target.page->signals, __ATOMIC_RELAXED) < i) {
			assert_true(ma_clock_ns() < deadline);
			ma_clock_pause(MA_NS_PER_MS);
		}
		assert_int_equal(target.page->signals, i);
	}
	trace_goes_on(&target);
	trace_end(&target);
}

static void a_stopped_process_stays_stopped(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_remote remote;
	int64_t result;

	(void)state;
	trace_start(&target, TRACE_SLEEP);
	kill(target.pid, SIGSTOP);
	wait_for_state(target.pid, "T");
	trace_hold(&target, &tracee, &remote);
	assert_true(tracee.group_stopped);
	assert_int_equal(ma_remote_syscall(&remote, SYS_getpid, (uint64_t[6]){0}, &result, NULL),
			 0);
	assert_int_equal(result, target.pid);
	ma_tracee_detach(&tracee);
	wait_for_state(target.pid, "T");
	kill(target.pid, SIGCONT);
	trace_goes_on(&target);
	trace_end(&target);
}

static void a_stop_during_the_work_is_kept(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_remote remote;
	int64_t result;

	(void)state;
	trace_start(&target, TRACE_REGISTERS);
	trace_hold(&target, &tracee, &remote);
	kill(target.pid, SIGSTOP);
	for (int i = 0; i < 5; i++)
		assert_int_equal(
			ma_remote_syscall(&remote, SYS_getpid, (uint64_t[6]){0}, &result, NULL), 0);
	assert_int_equal(result, target.pid);
	ma_tracee_detach(&tracee);
	wait_for_state(target.pid, "T");
	kill(target.pid, SIGCONT);
	trace_goes_on(&target);
	trace_end(&target);
}

static void a_killed_target_is_told(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_remote remote;
	int64_t result = 0;
	int failed;

	(void)state;
	trace_start(&target, TRACE_SLEEP);
	trace_hold(&target, &tracee, &remote);
	kill(target.pid, SIGKILL);
	wait_for_state(target.pid, "ZX");
	failed = ma_remote_syscall(&remote, SYS_getpid, (uint64_t[6]){0}, &result, NULL);
	assert_int_equal(failed, MA_ERR_NO_PROCESS);
	ma_tracee_detach(&tracee);
	trace_end(&target);
}

static void a_second_tracer_is_refused(void **state)
{
	static struct ma_tracee tracee, other;
	struct trace_target target;
	struct ma_remote remote;

	(void)state;
	trace_start(&target, TRACE_SLEEP);
	trace_hold(&target, &tracee, &remote);
	assert_int_equal(ma_tracee_seize(&other, target.pid, target.pid, NULL), MA_ERR_PERMISSION);
	ma_tracee_detach(&tracee);
	assert_int_equal(ma_tracee_seize(&other, target.pid, 0x3ffffff, NULL), MA_ERR_NO_PROCESS);
	trace_goes_on(&target);
	trace_end(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stopped_thread_is_given_back),
		cmocka_unit_test(signals_are_delivered),
		cmocka_unit_test(a_stopped_process_stays_stopped),
		cmocka_unit_test(a_stop_during_the_work_is_kept),
		cmocka_unit_test(a_killed_target_is_told),
		cmocka_unit_test(a_second_tracer_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
