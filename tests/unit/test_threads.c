/* SPDX-License-Identifier: MIT */
/* Thread slots and their names: of our own threads, and of a process in a PID namespace. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/ring_claims.h"
#include "daemon/threads.h"

static struct ma_area *make_area(void)
{
	struct ma_area *area = calloc(1, sizeof *area);
	assert_non_null(area);
	return area;
}

/* A thread of ours with a name, that lives until it is told to end. */
struct named {
	pthread_t thread;
	uint32_t tid;
	int end[2];
};

static void *live(void *context)
{
	struct named *named = context;
	char byte;
	prctl(PR_SET_NAME, "sam\xff");
	__atomic_store_n(&named->tid, (uint32_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	return read(named->end[0], &byte, 1) < 0 ? named : NULL;
}

static void test_names(void **state)
{
	(void)state;
	static struct ma_threads threads;
	struct ma_area *area = make_area();
	struct named named = {0};
	int proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY);
	assert_int_equal(pipe(named.end), 0);
	assert_int_equal(pthread_create(&named.thread, NULL, live, &named), 0);
	while (__atomic_load_n(&named.tid, __ATOMIC_ACQUIRE) == 0)
		sched_yield();
	area->threads[1].tid = (uint32_t)getpid();
	area->threads[7].tid = named.tid;
	area->threads[9].tid = 0x3fffffff; /* above any pid_max */
	ma_threads_refresh(&threads, area, proc_fd, false);
	assert_true(threads.slots[1].name[0] != 0);
	assert_string_equal(threads.slots[7].name, "sam\\xff");
	assert_string_equal(threads.slots[9].name, "");
	assert_true(ma_threads_is_alive(proc_fd, named.tid));
	assert_false(ma_threads_is_alive(proc_fd, 0x3fffffff));
	close(named.end[1]);
	pthread_join(named.thread, NULL);
	/* Gone, and remembered; a slot that another thread has now is not. */
	ma_threads_refresh(&threads, area, proc_fd, true);
	assert_string_equal(threads.slots[7].name, "sam\\xff");
	area->threads[7].tid = 0x3ffffffe;
	ma_threads_refresh(&threads, area, proc_fd, false);
	assert_string_equal(threads.slots[7].name, "");
	close(named.end[0]);
	close(proc_fd);
	free(area);
}

/* The child of a child, which is process 1 where it lives. Returns its id as we see it. */
static pid_t start_nested(pid_t *starter, int *end)
{
	int pipes[2], pids[2];
	pid_t pid = -1;
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(pids), 0);
	*starter = fork();
	assert_true(*starter >= 0);
	if (*starter == 0) {
		close(pipes[1]);
		pid = unshare(CLONE_NEWPID) == 0 ? fork() : -1;
		char byte;
		if (pid == 0) {
			prctl(PR_SET_NAME, "nested");
			pid_t ready = 0;
			if (write(pids[1], &ready, sizeof ready) < 0 ||
			    read(pipes[0], &byte, 1) < 0)
				_exit(1);
			_exit(0);
		}
		if (write(pids[1], &pid, sizeof pid) != sizeof pid)
			_exit(1);
		_exit(pid < 0 || waitpid(pid, NULL, 0) != pid);
	}
	close(pipes[0]);
	close(pids[1]);
	*end = pipes[1];
	/* Two messages in any order: the pid, and 0 once it has its name. */
	for (int i = 0; i < 2; i++) {
		pid_t message;
		if (read(pids[0], &message, sizeof message) != sizeof message)
			break;
		if (message)
			pid = message;
		if (message < 0)
			break;
	}
	close(pids[0]);
	return pid;
}

static void test_nested(void **state)
{
	(void)state;
	static struct ma_threads threads;
	struct ma_area *area = make_area();
	pid_t starter;
	int end;
	char path[32];
	pid_t pid = start_nested(&starter, &end);
	if (pid < 0) {
		print_message("no PID namespace may be made here: skipped\n");
		waitpid(starter, NULL, 0);
		close(end);
		free(area);
		skip();
	}
	snprintf(path, sizeof path, "/proc/%d", pid);
	int proc_fd = open(path, O_RDONLY | O_DIRECTORY);
	area->threads[1].tid = 1;
	area->threads[2].tid = 2;
	ma_threads_refresh(&threads, area, proc_fd, false);
	assert_string_equal(threads.slots[1].name, "nested");
	assert_string_equal(threads.slots[2].name, "");
	assert_true(ma_threads_is_alive(proc_fd, 1));
	assert_false(ma_threads_is_alive(proc_fd, (uint32_t)pid));
	/* Claims are by that id, too. */
	struct ma_ring_claims claims = {0};
	area->rings[0].claim = 1;
	area->rings[1].claim = (uint32_t)pid;
	assert_int_equal(ma_ring_claims_look(&claims, area->rings, proc_fd), 0);
	assert_int_equal(ma_ring_claims_look(&claims, area->rings, proc_fd), 1);
	assert_int_equal(area->rings[0].claim, 1);
	assert_int_equal(area->rings[1].claim, 0);
	close(proc_fd);
	close(end);
	waitpid(starter, NULL, 0);
	free(area);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_nested),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
