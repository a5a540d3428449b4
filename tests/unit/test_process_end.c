/* SPDX-License-Identifier: MIT */
/* How children ended: asked while they run, as zombies, when they were reaped, and by strangers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/process_end.h"
#include "fake_root.h"

enum { NOBODY = 65534, MIB = 1 << 20, WAIT_MS = 30000 };

struct child {
	pid_t pid;
	int pidfd;
	int go_fd; /* closing it lets the child end */
	struct ma_process_memory process;
};

typedef void ending(void);

static void start(struct child *child, ending *end)
{
	int go[2];
	char byte;
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (child->pid == 0) {
		const struct rlimit no_core = {0, 0};
		setrlimit(RLIMIT_CORE, &no_core);
		close(go[1]);
		(void)!read(go[0], &byte, 1);
		end();
		_exit(99);
	}
	close(go[0]);
	child->go_fd = go[1];
	child->pidfd = (int)syscall(SYS_pidfd_open, child->pid, 0);
	assert_true(child->pidfd >= 0);
	assert_int_equal(
		ma_process_memory_open(&child->process, child->pid, child->pidfd, "", NULL), 0);
}

static void let_end(struct child *child)
{
	struct pollfd poller = {.fd = child->pidfd, .events = POLLIN};
	close(child->go_fd);
	assert_int_equal(poll(&poller, 1, WAIT_MS), 1);
}

static void reap(struct child *child)
{
	assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
}

static void finish(struct child *child)
{
	ma_process_memory_close(&child->process);
	close(child->pidfd);
}

static struct ma_process_end read_end(const struct child *child)
{
	struct ma_process_end end;
	memset(&end, 0x55, sizeof end);
	ma_process_end_read(child->pidfd, &child->process, &end);
	assert_false(end.oom_killed);
	return end;
}

/* Does this kernel keep the exit status of what was reaped (Linux 6.15)? */
static bool kernel_keeps_status(void)
{
	struct child child;
	start(&child, abort);
	let_end(&child);
	reap(&child);
	struct ma_process_end end = read_end(&child);
	finish(&child);
	return end.how != MA_END_UNKNOWN;
}

static void exit_3(void)
{
	_exit(3);
}

static void exit_0(void)
{
	_exit(0);
}

static void kill_self(void)
{
	raise(SIGKILL);
}

static void segfault(void)
{
	signal(SIGSEGV, SIG_DFL);
	raise(SIGSEGV);
}

static void realtime(void)
{
	raise(SIGRTMIN + 6);
}

static void test_ends(void **state)
{
	(void)state;
	static const struct {
		ending *end;
		enum ma_end_how how;
		int code, signal;
		const char *sentence;
	} cases[] = {
		{exit_3, MA_END_EXITED, 3, 0, "exited with code 3"},
		{exit_0, MA_END_EXITED, 0, 0, "exited with code 0"},
		{kill_self, MA_END_SIGNALED, 0, SIGKILL, "killed by SIGKILL"},
		{segfault, MA_END_SIGNALED, 0, SIGSEGV, "killed by SIGSEGV"},
		{realtime, MA_END_SIGNALED, 0, 40, "killed by signal 40"},
	};
	bool kept = kernel_keeps_status();
	if (!kept)
		print_message("not tested: what was reaped; the kernel is older than 6.15\n");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct child child;
		start(&child, cases[i].end);
		struct ma_process_end end = read_end(&child);
		assert_int_equal(end.how, MA_END_RUNNING);
		assert_string_equal(end.sentence, "it still runs");
		let_end(&child);
		for (int reaped = 0; reaped <= 1; reaped++) {
			if (reaped)
				reap(&child);
			end = read_end(&child);
			if (reaped && !kept) {
				assert_int_equal(end.how, MA_END_UNKNOWN);
				assert_string_equal(end.sentence, "ended, how is not known");
				continue;
			}
			assert_int_equal(end.how, cases[i].how);
			assert_int_equal(end.code, cases[i].code);
			assert_int_equal(end.signal, cases[i].signal);
			assert_false(end.core_dumped);
			assert_string_equal(end.sentence, cases[i].sentence);
			/* Without the open files only the pidfd can be asked. */
			ma_process_end_read(child.pidfd, NULL, &end);
			assert_int_equal(end.how, reaped ? cases[i].how : MA_END_UNKNOWN);
		}
		finish(&child);
	}
}

/* Asking takes nothing away: the parent gets its status. */
static void test_parent_keeps_its_status(void **state)
{
	(void)state;
	struct child child;
	int status;
	start(&child, exit_3);
	let_end(&child);
	read_end(&child);
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	assert_int_equal(WEXITSTATUS(status), 3);
	finish(&child);
}

static void *linger(void *argument)
{
	(void)argument;
	for (;;)
		pause();
	return NULL;
}

static void main_thread_leaves(void)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, linger, NULL) == 0)
		pthread_exit(NULL);
}

/* The main thread is gone and shows as a zombie; the process lives. */
static void test_threads_outlive_the_main_thread(void **state)
{
	(void)state;
	struct child child;
	struct ma_memory_figures figures;
	start(&child, main_thread_leaves);
	close(child.go_fd);
	do {
		assert_int_equal(ma_process_memory_read(&child.process, 0, &figures, NULL), 0);
	} while (figures.state != 'Z');
	assert_int_equal(read_end(&child).how, MA_END_RUNNING);
	kill(child.pid, SIGTERM);
	struct pollfd poller = {.fd = child.pidfd, .events = POLLIN};
	assert_int_equal(poll(&poller, 1, WAIT_MS), 1);
	assert_string_equal(read_end(&child).sentence, "killed by SIGTERM");
	reap(&child);
	finish(&child);
}

/* What is no pidfd, or an old kernel's, cannot be asked; nothing is made up. */
static void test_unknown(void **state)
{
	(void)state;
	struct ma_process_end end;
	int fd = eventfd(1, EFD_CLOEXEC);
	ma_process_end_read(fd, NULL, &end);
	assert_int_equal(end.how, MA_END_UNKNOWN);
	assert_string_equal(end.sentence, "ended, how is not known");
	close(fd);
}

/* A stranger is shown an exit code of 0; that is not to be believed. */
static void test_stranger(void **state)
{
	(void)state;
	struct child child;
	int status;
	if (geteuid() != 0) {
		print_message("skipped: it takes root to be another user\n");
		skip();
	}
	start(&child, exit_3);
	let_end(&child);
	pid_t stranger = fork();
	assert_true(stranger >= 0);
	if (stranger == 0) {
		struct ma_process_memory process;
		struct ma_process_end end;
		if (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		    setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
		    ma_process_memory_open(&process, child.pid, child.pidfd, "", NULL) != 0)
			_exit(100);
		ma_process_end_read(child.pidfd, &process, &end);
		_exit((int)end.how);
	}
	assert_int_equal(waitpid(stranger, &status, 0), stranger);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), MA_END_UNKNOWN);
	assert_int_equal(read_end(&child).code, 3);
	reap(&child);
	finish(&child);
}

static void fake_cgroup(int kills)
{
	char text[32];
	snprintf(text, sizeof text, "oom_kill %d\n", kills);
	fake_root_write("/cg/a/memory.current", "1\n");
	fake_root_write("/cg/a/memory.events", text);
}

/* Replaces the child's cgroup by one whose count of OOM kills the test decides. */
static void use_fake_cgroup(struct child *child)
{
	char path[128];
	const char *root = fake_root_make();
	fake_root_write("/proc/1/cgroup", "0::/a\n");
	fake_root_write("/proc/self/mountinfo", "1 1 0:1 / /cg rw - cgroup2 none rw\n");
	fake_cgroup(0);
	snprintf(path, sizeof path, "%s/proc/1", root);
	int proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ma_cgroup_close(&child->process.cgroup);
	ma_cgroup_open(&child->process.cgroup, proc_fd, root);
	assert_int_equal(child->process.cgroup.version, 2);
	close(proc_fd);
}

static void expect_with_kills(ending *how, bool oom_killed, const char *sentence)
{
	struct child child;
	struct ma_process_end end;
	start(&child, how);
	use_fake_cgroup(&child);
	let_end(&child);
	fake_cgroup(1);
	ma_process_end_read(child.pidfd, &child.process, &end);
	reap(&child);
	finish(&child);
	fake_root_remove();
	assert_int_equal(end.oom_killed, oom_killed);
	assert_string_equal(end.sentence, sentence);
}

static void test_out_of_memory(void **state)
{
	(void)state;
	expect_with_kills(kill_self, true,
			  "killed by SIGKILL (out of memory: the cgroup's OOM kill count rose from "
			  "0 to 1)");
	/* Another process of the cgroup was the victim. */
	expect_with_kills(exit_3, false, "exited with code 3");
	expect_with_kills(segfault, false, "killed by SIGSEGV");
}

/* Something was killed, but whether it was this process is not known. */
static void test_unknown_end_beside_an_oom_kill(void **state)
{
	(void)state;
	struct child child;
	struct ma_process_end end;
	start(&child, kill_self);
	use_fake_cgroup(&child);
	let_end(&child);
	fake_cgroup(1);
	reap(&child);
	int fd = eventfd(1, EFD_CLOEXEC);
	ma_process_end_read(fd, &child.process, &end);
	close(fd);
	finish(&child);
	fake_root_remove();
	assert_int_equal(end.how, MA_END_UNKNOWN);
	assert_false(end.oom_killed);
	assert_string_equal(end.sentence, "ended, how is not known (the cgroup's OOM kill count "
					  "rose from 0 to 1)");
}

/* A real cgroup with a limit, where the system lets us make one. */
static bool make_cgroup(char path[200])
{
	static const char *const places[] = {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"};
	static const char *const limits[] = {"memory.limit_in_bytes", "memory.max"};
	char file[300];
	for (size_t i = 0; i < 2; i++) {
		snprintf(path, 200, "%s/memattach-test-%d", places[i], (int)getpid());
		if (mkdir(path, 0700) != 0)
			continue;
		snprintf(file, sizeof file, "%s/%s", path, limits[i]);
		int fd = open(file, O_WRONLY | O_CLOEXEC);
		bool limited = fd >= 0 && write(fd, "33554432", 8) == 8;
		if (fd >= 0)
			close(fd);
		if (limited)
			return true;
		rmdir(path);
	}
	return false;
}

static void eat(void)
{
	for (;;) {
		char *more = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (size_t i = 0; more != MAP_FAILED && i < 4 * MIB; i += 4096)
			more[i] = 1;
	}
}

static void test_real_out_of_memory(void **state)
{
	(void)state;
	char path[200], file[300], pid[16];
	struct child child;
	struct ma_process_end end;
	struct ma_memory_figures figures;
	if (!make_cgroup(path)) {
		print_message("skipped: no cgroup with a memory limit can be made here\n");
		skip();
	}
	start(&child, eat);
	snprintf(file, sizeof file, "%s/cgroup.procs", path);
	int length = snprintf(pid, sizeof pid, "%d", (int)child.pid);
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	bool joined = fd >= 0 && write(fd, pid, (size_t)length) == length;
	close(fd);
	int code = ma_process_memory_read(&child.process, MA_MEMORY_ASK_CGROUP, &figures, NULL);
	let_end(&child);
	ma_process_end_read(child.pidfd, &child.process, &end);
	reap(&child);
	finish(&child);
	rmdir(path);
	assert_true(joined);
	assert_int_equal(code, 0);
	assert_int_equal(figures.cgroup.limit_bytes, 33554432);
	assert_int_equal(end.signal, SIGKILL);
	assert_true(end.oom_killed);
	assert_string_equal(end.sentence, "killed by SIGKILL (out of memory: the cgroup's OOM kill "
					  "count rose from 0 to 1)");
}

static void test_signal_names(void **state)
{
	(void)state;
	char text[16];
	assert_string_equal(ma_signal_name(SIGKILL, text), "SIGKILL");
	assert_string_equal(ma_signal_name(SIGVTALRM, text), "SIGVTALRM");
	assert_string_equal(ma_signal_name(64, text), "signal 64");
	for (int i = 1; i < 32; i++)
		if (sigabbrev_np(i) && strncmp(ma_signal_name(i, text), "SIG", 3) == 0)
			assert_string_equal(text + 3, strcmp(sigabbrev_np(i), "POLL") == 0
							      ? "IO"
							      : sigabbrev_np(i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_parent_keeps_its_status),
		cmocka_unit_test(test_threads_outlive_the_main_thread),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_stranger),
		cmocka_unit_test(test_out_of_memory),
		cmocka_unit_test(test_unknown_end_beside_an_oom_kill),
		cmocka_unit_test(test_real_out_of_memory),
		cmocka_unit_test(test_signal_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
