/* SPDX-License-Identifier: MIT */
/* Calls in a thread that was borrowed, and what becomes of it when the tracer dies. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject/clock.h"
#include "trace_target.h"

static const uint64_t no_args[6];

static void system_calls_return_their_results(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_remote remote;
	const uint64_t map[6] = {0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, UINT64_MAX};
	uint64_t address, text;
	int64_t result;

	(void)state;
	trace_start(&target, TRACE_REGISTERS);
	trace_hold(&target, &tracee, &remote);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(ma_remote_syscall(&remote, SYS_getpid, no_args, &result, NULL), 0);
		assert_int_equal(result, target.pid);
	}
	assert_int_equal(ma_remote_demand(&remote, "mapping", SYS_mmap, map, &address, NULL), 0);
	assert_int_equal(address % 4096, 0);
	assert_int_equal(ma_remote_put(&remote, "/", 2, &text, NULL), 0);
	assert_int_equal(
		ma_remote_syscall(&remote, SYS_access, (uint64_t[6]){text, R_OK}, &result, NULL),
		0);
	assert_int_equal(result, 0);
	assert_int_equal(ma_remote_syscall(&remote, SYS_close, (uint64_t[6]){9999}, &result, NULL),
			 0);
	assert_int_equal(result, -9);
	ma_tracee_detach(&tracee);
	trace_goes_on(&target);
	trace_end(&target);
}

static void a_failing_call_says_what_it_was_for(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_remote remote;
	struct ma_error error;

	(void)state;
	trace_start(&target, TRACE_SLEEP);
	trace_hold(&target, &tracee, &remote);
	assert_int_equal(ma_remote_demand(&remote, "closing it", SYS_close, (uint64_t[6]){9999},
					  NULL, &error),
			 MA_ERR_FAILED);
	assert_int_equal(error.sys_errno, 9);
	assert_non_null(strstr(error.what, "closing it"));
	ma_tracee_detach(&tracee);
	trace_goes_on(&target);
	trace_end(&target);
}

/* A tracer that goes through the motions of one remote system call and dies at the given step. */
static void die_at(const struct trace_target *target, int step)
{
	static struct ma_tracee tracee;
	struct ma_remote remote;
	struct ma_regs regs;
	uint64_t scratch;
	uint64_t all = UINT64_MAX;

	trace_hold(target, &tracee, &remote);
	assert_int_equal(ma_remote_put(&remote, "", 1, &scratch, NULL), 0);
	regs = tracee.context.regs;
	ma_arch.setup_syscall(&regs, &target->machine, remote.frame, SYS_getpid, no_args);
	if (step-- == 0)
		_exit(0);
	ma_arch.regs_set(target->pid, &regs);
	if (step-- == 0)
		_exit(0);
	ptrace(PTRACE_SETSIGMASK, target->pid, (void *)8, &all);
	tracee.hijacked = true;
	while (step-- > 0) {
		int64_t result;

		if (step >= 2) {
			/* Whole calls before the end. */
			assert_int_equal(
				ma_remote_syscall(&remote, SYS_getppid, no_args, &result, NULL), 0);
			continue;
		}
		ma_tracee_resume(&tracee, MA_RESUME_TO_SYSCALL, NULL);
		ma_tracee_wait(&tracee, ma_clock_ns() + MA_NS_PER_S, NULL);
	}
	_exit(0);
}

static void a_tracer_may_die_at_any_step(void **state)
{
	(void)state;
	for (int work = TRACE_REGISTERS; work <= TRACE_SLEEP; work++) {
		struct trace_target target;

		trace_start(&target, (enum trace_work)work);
		for (int step = 0; step < 8; step++) {
			pid_t tracer = fork();
			int status;

			if (!tracer)
				die_at(&target, step);
			assert_int_equal(waitpid(tracer, &status, 0), tracer);
			assert_true(WIFEXITED(status) && !WEXITSTATUS(status));
			trace_goes_on(&target);
		}
		trace_end(&target);
	}
}

static uint64_t twice(uint64_t value)
{
	return value * 2;
}

static uint64_t crash(uint64_t address)
{
	*(volatile int *)address = 1;
	return 0;
}

static uint64_t hang(uint64_t shared)
{
	struct trace_page *page = (struct trace_page *)shared;

	__atomic_store_n(&page->value, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&page->go_on, __ATOMIC_ACQUIRE))
		continue;
	page->value = 99;
	return 1;
}

static struct ma_call_site call_site(const struct trace_target *target)
{
	struct trace_page *page = target->page;

	return (struct ma_call_site){
		.stub = target->stub,
		.control = TRACE_ADDRESS(&page->control),
		.frame = TRACE_ADDRESS(page->frame),
		.stack_top = TRACE_ADDRESS(page->stack + sizeof(page->stack)),
		.tgid = (uint32_t)target->pid,
		.tid = (uint32_t)target->pid,
	};
}

static void functions_are_called(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_call_site site;
	struct ma_remote remote;

	(void)state;
	trace_start(&target, TRACE_REGISTERS);
	site = call_site(&target);
	trace_hold(&target, &tracee, &remote);
	for (uint64_t i = 0; i < 10; i++) {
		uint64_t result;
		int64_t pid;

		assert_int_equal(ma_remote_call(&remote, &site, TRACE_ADDRESS(twice), i,
						ma_clock_ns() + 5 * MA_NS_PER_S, &result, NULL),
				 0);
		assert_int_equal(result, 2 * i);
		/* Both kinds in turn, within one stop. */
		assert_int_equal(ma_remote_syscall(&remote, SYS_getpid, no_args, &pid, NULL), 0);
		assert_int_equal(pid, target.pid);
	}
	ma_tracee_detach(&tracee);
	trace_goes_on(&target);
	trace_end(&target);
}

static void a_crash_is_contained(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_call_site site;
	struct ma_remote remote;
	struct ma_error error;

	(void)state;
	trace_start(&target, TRACE_REGISTERS);
	site = call_site(&target);
	trace_hold(&target, &tracee, &remote);
	assert_int_equal(ma_remote_call(&remote, &site, TRACE_ADDRESS(crash), 8,
					ma_clock_ns() + 5 * MA_NS_PER_S, NULL, &error),
			 MA_ERR_FAILED);
	assert_non_null(strstr(error.answer, "signal 11"));
	ma_tracee_detach(&tracee);
	trace_goes_on(&target);
	trace_end(&target);
}

static void a_call_that_hangs_is_let_go(void **state)
{
	static struct ma_tracee tracee;
	struct trace_target target;
	struct ma_call_site site;
	struct ma_remote remote;

	(void)state;
	trace_start(&target, TRACE_REGISTERS);
	site = call_site(&target);
	trace_hold(&target, &tracee, &remote);
	assert_int_equal(ma_remote_call(&remote, &site, TRACE_ADDRESS(hang),
					TRACE_ADDRESS(target.page),
					ma_clock_ns() + 20 * MA_NS_PER_MS, NULL, NULL),
			 MA_ERR_UNSAFE);
	assert_true(tracee.abandoned);
	ma_tracee_detach(&tracee);
	assert_int_equal(target.page->value, 1);
	__atomic_store_n(&target.page->go_on, 1, __ATOMIC_RELEASE);
	/* It comes back to where it was, without any help. */
	trace_goes_on(&target);
	assert_int_equal(target.page->value, 99);
	trace_end(&target);
}

static void a_tracer_may_die_during_a_call(void **state)
{
	struct trace_target target;
	pid_t tracer;

	(void)state;
	trace_start(&target, TRACE_REGISTERS);
	tracer = fork();
	if (!tracer) {
		static struct ma_tracee tracee;
		struct ma_call_site site = call_site(&target);
		struct ma_remote remote;

		trace_hold(&target, &tracee, &remote);
		ma_remote_call(&remote, &site, TRACE_ADDRESS(hang), TRACE_ADDRESS(target.page),
			       ma_clock_ns() + 60 * MA_NS_PER_S, NULL, NULL);
		_exit(0);
	}
	while (!__atomic_load_n(&target.page->value, __ATOMIC_ACQUIRE))
		ma_clock_pause(MA_NS_PER_MS);
	kill(tracer, SIGKILL);
	assert_int_equal(waitpid(tracer, NULL, 0), tracer);
	__atomic_store_n(&target.page->go_on, 1, __ATOMIC_RELEASE);
	trace_goes_on(&target);
	trace_end(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_calls_return_their_results),
		cmocka_unit_test(a_failing_call_says_what_it_was_for),
		cmocka_unit_test(a_tracer_may_die_at_any_step),
		cmocka_unit_test(functions_are_called),
		cmocka_unit_test(a_crash_is_contained),
		cmocka_unit_test(a_call_that_hangs_is_let_go),
		cmocka_unit_test(a_tracer_may_die_during_a_call),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
