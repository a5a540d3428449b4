/* SPDX-License-Identifier: MIT */
/*
 * Is anybody inside a piece of code? Threads of a child that are in it, will return to it, are in a
 * signal handler above it, or have merely left words behind.
 */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "child_process.h"
#include "inject/asleep.h"
#include "inject/clock.h"
#include "inject/proof.h"
#include "trace_target.h"

#define INSIDE __attribute__((section("inside"), noinline, used))

extern const char __start_inside[], __stop_inside[]; /* by the linker, of the section */

static struct {
	int ready;
	int leave;
	int asleep;    /* wait in a call that does not survive a stop unnoticed */
	int socket[2]; /* with a time limit */
} flags;               /* of the child */

static void wait_outside(void)
{
	char byte;

	__atomic_store_n(&flags.ready, 1, __ATOMIC_RELEASE);
	if (flags.asleep && recv(flags.socket[0], &byte, 1, 0) != 1)
		dprintf(STDOUT_FILENO, "interrupted\n");
	while (!__atomic_load_n(&flags.leave, __ATOMIC_ACQUIRE))
		poll(NULL, 0, 1);
}

INSIDE static void spin_inside(void)
{
	__atomic_store_n(&flags.ready, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&flags.leave, __ATOMIC_ACQUIRE))
		continue;
}

INSIDE static void call_out(void (*function)(void))
{
	function();
	__asm__ volatile(""); /* no tail call: it comes back here */
}

static void raise_signal(void)
{
	raise(SIGUSR2);
}

static void on_signal(int signal)
{
	(void)signal;
	wait_outside();
}

/* Leaves the address of a function inside on the stack, where a later frame does not write. */
__attribute__((noinline)) static void leave_word(void)
{
	void *volatile words[64];

	for (int i = 0; i < 64; i++)
		words[i] = (void *)(uintptr_t)__start_inside;
	(void)words[63];
}

__attribute__((noinline)) static void wait_above_it(void)
{
	volatile char room[4096];

	room[0] = 0;
	wait_outside();
	room[1] = room[0];
}

enum situation {
	OUTSIDE,
	IN_IT,
	COMES_BACK,
	HANDLER_ON_ITS_STACK,
	HANDLER_ON_ANOTHER_STACK,
	WORD_LEFT,
};

static void be_in(enum situation situation)
{
	static char stack[1 << 16];
	stack_t other = {.ss_sp = stack, .ss_size = sizeof(stack)};
	struct sigaction action = {.sa_handler = on_signal};

	if (situation == HANDLER_ON_ANOTHER_STACK) {
		sigaltstack(&other, NULL);
		action.sa_flags = SA_ONSTACK;
	}
	sigaction(SIGUSR2, &action, NULL);
	switch (situation) {
	case OUTSIDE:
		wait_outside();
		break;
	case IN_IT:
		spin_inside();
		break;
	case COMES_BACK:
		call_out(wait_outside);
		break;
	case HANDLER_ON_ITS_STACK:
	case HANDLER_ON_ANOTHER_STACK:
		call_out(raise_signal);
		break;
	case WORD_LEFT:
		leave_word();
		wait_above_it();
		break;
	}
	dprintf(STDOUT_FILENO, "left\n");
	for (;;)
		pause();
}

static void *run_thread(void *arg)
{
	be_in(*(const enum situation *)arg);
	return NULL;
}

static void *nothing(void *arg)
{
	return arg;
}

_Noreturn static void make_threads(void)
{
	for (;;) {
		pthread_t thread;

		if (!pthread_create(&thread, NULL, nothing, NULL))
			pthread_join(thread, NULL);
		__atomic_store_n(&flags.ready, 1, __ATOMIC_RELEASE);
	}
}

/* Says where the code is, once the situation is there; lets it end when a line comes in. */
static void *obey(void *arg)
{
	char byte;

	(void)arg;
	while (!__atomic_load_n(&flags.ready, __ATOMIC_ACQUIRE))
		poll(NULL, 0, 1);
	dprintf(STDOUT_FILENO, "%llx %llx\n", (unsigned long long)(uintptr_t)__start_inside,
		(unsigned long long)(uintptr_t)__stop_inside);
	if (read(STDIN_FILENO, &byte, 1) <= 0)
		_exit(0);
	__atomic_store_n(&flags.leave, 1, __ATOMIC_RELEASE);
	if (flags.asleep)
		(void)!send(flags.socket[1], &byte, 1, 0);
	for (;;)
		pause();
}

static int sleep_in_calls(void)
{
	const struct timeval limit = {.tv_sec = 100};

	flags.asleep = 1;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, flags.socket) ||
	       setsockopt(flags.socket[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/* The child, a program of its own: a fork would have our own stack, full of these addresses. */
static int run(const char *name, const char *where)
{
	enum situation situation = (enum situation)atoi(name);
	pthread_t thread;

	if (!strncmp(where, "asleep in ", 10)) {
		where += 10;
		if (sleep_in_calls())
			return 1;
	}
	if (pthread_create(&thread, NULL, obey, NULL))
		return 1;
	if (!strcmp(where, "making threads"))
		make_threads();
	if (!strcmp(where, "main"))
		be_in(situation);
	if (pthread_create(&thread, NULL, run_thread, &situation))
		return 1;
	for (;;)
		pause();
}

struct visit {
	struct child child;
	struct ma_view view;
	struct ma_unwinder *unwinder;
	struct ma_range range;
};

static void start(struct visit *visit, enum situation situation, const char *where)
{
	char number[8], line[80];
	unsigned long long first, last;
	const char *const argv[] = {"/proc/self/exe", number, where, NULL};

	snprintf(number, sizeof(number), "%d", (int)situation);
	assert_int_equal(child_start(&visit->child, NULL, argv), 0);
	assert_int_equal(
		sscanf(child_line(&visit->child, line, sizeof(line)), "%llx %llx", &first, &last),
		2);
	visit->range = (struct ma_range){first, last};
	trace_view_open(&visit->view, visit->child.pid);
	visit->unwinder = ma_unwinder_create(&visit->view);
	assert_non_null(visit->unwinder);
}

static void end(struct visit *visit)
{
	ma_unwinder_destroy(visit->unwinder);
	trace_view_close(&visit->view);
	child_end(&visit->child);
}

static enum ma_proof ask(const struct visit *visit, enum ma_proof_rule rule)
{
	struct ma_proof_result result;

	assert_int_equal(
		ma_proof_try(&visit->view, visit->unwinder, rule, &visit->range, 1, &result, NULL),
		0);
	assert_true(result.threads >= 2);
	return result.verdict;
}

/* What is clear need not be so at once (the thread that talks to us has just printed addresses);
 * what is not must not look clear even once. */
static void expect(const struct visit *visit, enum ma_proof_rule rule, enum ma_proof verdict)
{
	uint64_t deadline = ma_clock_ns() + 10 * MA_NS_PER_S;

	if (verdict == MA_PROOF_CLEAR) {
		while (ask(visit, rule) != MA_PROOF_CLEAR)
			assert_true(ma_clock_ns() < deadline);
		return;
	}
	for (int i = 0; i < 5; i++)
		assert_int_equal(ask(visit, rule), verdict);
}

static const struct {
	enum situation situation;
	enum ma_proof every_word;
	enum ma_proof walked;
} cases[] = {
	{OUTSIDE, MA_PROOF_CLEAR, MA_PROOF_CLEAR},
	{IN_IT, MA_PROOF_INSIDE, MA_PROOF_INSIDE},
	{COMES_BACK, MA_PROOF_INSIDE, MA_PROOF_INSIDE},
	{HANDLER_ON_ITS_STACK, MA_PROOF_INSIDE, MA_PROOF_INSIDE},
	{HANDLER_ON_ANOTHER_STACK, MA_PROOF_INSIDE, MA_PROOF_INSIDE},
	{WORD_LEFT, MA_PROOF_INSIDE, MA_PROOF_CLEAR},
};

static void every_situation_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		struct visit visit;
		char line[40];

		start(&visit, cases[i / 2].situation, i % 2 ? "thread" : "main");
		expect(&visit, MA_PROOF_EVERY_WORD, cases[i / 2].every_word);
		expect(&visit, MA_PROOF_WALKED, cases[i / 2].walked);
		/* They go on afterwards, and are seen to be gone. */
		assert_int_equal(write(visit.child.input, "\n", 1), 1);
		assert_string_equal(child_line(&visit.child, line, sizeof(line)), "left");
		expect(&visit, MA_PROOF_WALKED, MA_PROOF_CLEAR);
		end(&visit);
	}
}

/* Is some thread of it asleep in recv? */
static bool is_receiving(pid_t pid, struct ma_asleep *asleep)
{
	char number[24];
	pid_t *tids;
	size_t count;
	bool found = false;

	snprintf(number, sizeof(number), "%d ", SYS_recvfrom);
	assert_int_equal(ma_proc_tasks(pid, &tids, &count, NULL), 0);
	for (size_t i = 0; i < count && !found; i++)
		found = ma_asleep_look(pid, tids[i], asleep) &&
			!strncmp(asleep->call, number, strlen(number));
	free(tids);
	return found;
}

static void sleepers_are_left_asleep(void **state)
{
	static const struct {
		enum situation situation;
		enum ma_proof verdict;
	} sleepers[] = {
		{OUTSIDE, MA_PROOF_CLEAR},
		{COMES_BACK, MA_PROOF_INSIDE},
		{HANDLER_ON_ITS_STACK, MA_PROOF_INSIDE},
		{HANDLER_ON_ANOTHER_STACK, MA_PROOF_INSIDE},
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(sleepers) / sizeof(sleepers[0]); i++) {
		uint64_t deadline = ma_clock_ns() + 10 * MA_NS_PER_S;
		struct ma_proof_result result;
		struct ma_asleep asleep;
		struct visit visit;
		char line[40];

		start(&visit, sleepers[i / 2].situation,
		      i % 2 ? "asleep in thread" : "asleep in main");
		while (!is_receiving(visit.child.pid, &asleep))
			assert_true(ma_clock_ns() < deadline);
		expect(&visit, MA_PROOF_EVERY_WORD, sleepers[i / 2].verdict);
		assert_int_equal(ma_proof_try(&visit.view, visit.unwinder, MA_PROOF_EVERY_WORD,
					      &visit.range, 1, &result, NULL),
				 0);
		assert_false(result.prolonged);
		assert_true(ma_asleep_still(&asleep));
		/* When tables must tell, it is stopped, and found out all the same. */
		expect(&visit, MA_PROOF_WALKED, sleepers[i / 2].verdict);
		assert_int_equal(write(visit.child.input, "\n", 1), 1);
		assert_string_equal(child_line(&visit.child, line, sizeof(line)), "left");
		assert_false(ma_asleep_still(&asleep));
		end(&visit);
	}
}

static void threads_may_come_and_go(void **state)
{
	struct visit visit;
	int clear = 0;

	(void)state;
	start(&visit, OUTSIDE, "making threads");
	for (int i = 0; i < 20; i++)
		clear += ask(&visit, MA_PROOF_EVERY_WORD) == MA_PROOF_CLEAR;
	assert_true(clear > 10);
	end(&visit);
}

static void a_dead_process_is_an_error(void **state)
{
	struct ma_proof_result result;
	struct visit visit;

	(void)state;
	start(&visit, OUTSIDE, "main");
	kill(visit.child.pid, SIGKILL);
	child_wait_zombie(&visit.child);
	assert_int_equal(ma_proof_try(&visit.view, visit.unwinder, MA_PROOF_EVERY_WORD,
				      &visit.range, 1, &result, NULL),
			 0);
	/* A zombie has no thread that could be inside. */
	assert_int_equal(result.threads, 0);
	end(&visit);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_situation_is_told),
		cmocka_unit_test(sleepers_are_left_asleep),
		cmocka_unit_test(threads_may_come_and_go),
		cmocka_unit_test(a_dead_process_is_an_error),
	};

	if (argc == 3)
		return run(argv[1], argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
