/* SPDX-License-Identifier: MIT */
/* A process's figures: made-up files with known numbers, and real children. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/process_stat.h"
#include "daemon/process_memory.h"
#include "fake_root.h"

enum { MIB = 1 << 20, BALLAST = 64 * MIB };

#define STATUS                                                                                     \
	"Name:\tpy) R 1\nVmPeak:\t 900 kB\nVmSize:\t  800 kB\nVmHWM:\t     700 kB\n"               \
	"VmRSS:\t     600 kB\nRssAnon:\t     300 kB\nRssFile:\t     200 kB\n"                      \
	"RssShmem:\t     100 kB\nVmSwap:\t      50 kB\nThreads:\t3\n"
/* The name may hold what looks like the rest of the line. */
#define STAT                                                                                       \
	"4242 (py) R 1 (x) S 1 4242 4242 0 -1 4194560 111 222 33 44 5 6 0 0 20 0 3 0 77 819200 "   \
	"150 18446744073709551615 1 1 0 0 0 0 0 16781312 134765826 0 0 0 17 1 0 0 0 0 0 0 0 0 0 "  \
	"0 "                                                                                       \
	"0 0 256\n"

static void test_known_numbers(void **state)
{
	(void)state;
	struct ma_process_memory process;
	struct ma_memory_figures figures;
	const char *root = fake_root_make();
	fake_root_write("/proc/4242/stat", STAT);
	fake_root_write("/proc/4242/status", STATUS);
	fake_root_write("/proc/4242/smaps_rollup",
			"00400000-7fff000 ---p 00000000 00:00 0   [rollup]\nRss:   600 kB\n"
			"Pss:   450 kB\nPss_Dirty:  1 kB\nPrivate_Clean:  150 kB\n"
			"Private_Dirty:  250 kB\nSwapPss:  7 kB\n");
	fake_root_write("/proc/4242/cgroup", "0::/a\n");
	fake_root_write("/proc/self/mountinfo", "1 1 0:1 / /cg rw - cgroup2 none rw\n");
	fake_root_write("/cg/a/memory.current", "1024\n");
	fake_root_write("/cg/a/memory.max", "4096\n");
	fake_root_write("/cg/b/memory.current", "2048\n");
	assert_int_equal(ma_process_memory_open(&process, 4242, -1, root, NULL), 0);
	assert_int_equal(ma_process_memory_read(&process, 0, &figures, NULL), 0);
	assert_int_equal(figures.rss_bytes, 600 * 1024);
	assert_int_equal(figures.rss_anonymous_bytes, 300 * 1024);
	assert_int_equal(figures.rss_file_bytes, 200 * 1024);
	assert_int_equal(figures.rss_shared_bytes, 100 * 1024);
	assert_int_equal(figures.rss_peak_bytes, 700 * 1024);
	assert_int_equal(figures.swap_bytes, 50 * 1024);
	assert_int_equal(figures.virtual_bytes, 800 * 1024);
	assert_int_equal(figures.minor_faults, 111);
	assert_int_equal(figures.major_faults, 33);
	assert_int_equal(figures.threads, 3);
	assert_int_equal(figures.state, 'S');
	assert_int_equal(figures.pss_bytes, 0);
	assert_int_equal(figures.uss_bytes, 0);
	assert_int_equal(figures.cgroup.use_bytes, 1024);
	assert_int_equal(figures.cgroup.limit_bytes, 4096);

	fake_root_write("/proc/4242/cgroup", "0::/b\n");
	assert_int_equal(ma_process_memory_read(&process, MA_MEMORY_ASK_PSS, &figures, NULL), 0);
	assert_int_equal(figures.pss_bytes, 450 * 1024);
	assert_int_equal(figures.uss_bytes, 400 * 1024);
	assert_int_equal(figures.cgroup.use_bytes, 1024);
	assert_int_equal(ma_process_memory_read(&process, MA_MEMORY_ASK_CGROUP, &figures, NULL), 0);
	assert_int_equal(figures.cgroup.use_bytes, 2048);
	assert_int_equal(figures.cgroup.limit_bytes, 0);
	ma_process_memory_close(&process);
	fake_root_remove();
}

static void test_stat_line(void **state)
{
	(void)state;
	struct ma_process_stat stat;
	assert_int_equal(ma_process_stat_parse(STAT, &stat), 0);
	assert_int_equal(stat.state, 'S');
	assert_int_equal(stat.start_ticks, 77);
	assert_int_equal(stat.exit_code, 256);
	for (size_t cut = 0; cut < strlen(STAT); cut++) {
		char text[sizeof STAT] = "";
		memcpy(text, STAT, cut);
		int code = ma_process_stat_parse(text, &stat);
		assert_true(code == 0 || code == -1);
		/* Without the start time it is no stat line. */
		if (cut < (size_t)(strstr(STAT, " 77 ") - STAT))
			assert_int_equal(code, -1);
	}
}

/* A child that waits for bytes on a pipe; each makes it touch some more memory. */
struct child {
	pid_t pid;
	int pidfd;
	int ask_fd;
	int answer_fd;
};

static void run_child(int ask_fd, int answer_fd)
{
	char byte;
	while (read(ask_fd, &byte, 1) == 1) {
		char *ballast = mmap(NULL, BALLAST, PROT_READ | PROT_WRITE,
				     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (ballast == MAP_FAILED)
			_exit(1);
		for (size_t i = 0; i < BALLAST; i += 4096)
			ballast[i] = 1;
		if (write(answer_fd, &byte, 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static struct child start_child(void)
{
	struct child child;
	int ask[2], answer[2];
	assert_int_equal(pipe2(ask, O_CLOEXEC), 0);
	assert_int_equal(pipe2(answer, O_CLOEXEC), 0);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		close(ask[1]);
		run_child(ask[0], answer[1]);
	}
	close(ask[0]);
	close(answer[1]);
	child.ask_fd = ask[1];
	child.answer_fd = answer[0];
	child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	assert_true(child.pidfd >= 0);
	return child;
}

static void grow_child(const struct child *child)
{
	char byte = 'x';
	assert_int_equal(write(child->ask_fd, &byte, 1), 1);
	assert_int_equal(read(child->answer_fd, &byte, 1), 1);
}

static void close_child(struct child *child)
{
	close(child->pidfd);
	close(child->ask_fd);
	close(child->answer_fd);
}

static void test_real_child(void **state)
{
	(void)state;
	struct ma_process_memory process;
	struct ma_memory_figures before, after;
	struct ma_error error = {0};
	siginfo_t info;
	struct timespec now;
	struct child child = start_child();
	clock_gettime(CLOCK_REALTIME, &now);
	assert_int_equal(ma_process_memory_open(&process, child.pid, child.pidfd, "", &error), 0);
	int64_t age_s = now.tv_sec - (int64_t)(process.start_time_ns / 1000000000);
	assert_true(age_s >= -2 && age_s <= 30);
	assert_int_equal(ma_process_memory_read(&process, MA_MEMORY_ASK_PSS, &before, &error), 0);
	assert_true(before.rss_bytes > 0);
	assert_int_equal(before.threads, 1);
	grow_child(&child);
	assert_int_equal(ma_process_memory_read(&process, MA_MEMORY_ASK_PSS | MA_MEMORY_ASK_CGROUP,
						&after, &error),
			 0);
	/* The kernel may be a few dozen pages behind with its counts. */
	assert_true(after.rss_bytes >= before.rss_bytes + BALLAST - 2 * MIB);
	assert_true(after.rss_anonymous_bytes >= before.rss_anonymous_bytes + BALLAST - 2 * MIB);
	assert_true(after.uss_bytes >= before.uss_bytes + BALLAST - 2 * MIB);
	assert_true(after.pss_bytes >= after.uss_bytes);
	assert_true(after.virtual_bytes >= before.virtual_bytes + BALLAST);
	assert_true(after.rss_peak_bytes >= after.rss_bytes - 2 * MIB);
	assert_true(after.minor_faults > before.minor_faults);

	kill(child.pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)child.pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(ma_process_memory_read(&process, MA_MEMORY_ASK_PSS, &after, &error), 0);
	assert_int_equal(after.state, 'Z');
	assert_int_equal(after.rss_bytes, 0);
	assert_int_equal(after.pss_bytes, 0);

	assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
	assert_int_equal(ma_process_memory_read(&process, 0, &after, &error), MA_ERR_NO_PROCESS);
	assert_int_equal(after.rss_bytes, 0);
	assert_true(error.what[0] && error.answer[0]);
	ma_process_memory_close(&process);
	ma_process_memory_close(&process);
	close_child(&child);
}

/* The PID of a process that was reaped may be another's by now: the pidfd knows. */
static void test_reused_pid(void **state)
{
	(void)state;
	struct ma_process_memory process;
	struct ma_error error;
	struct child child = start_child();
	kill(child.pid, SIGKILL);
	assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
	assert_int_equal(ma_process_memory_open(&process, child.pid, child.pidfd, "", &error),
			 MA_ERR_NO_PROCESS);
	assert_int_equal(ma_process_memory_open(&process, getpid(), child.pidfd, "", &error),
			 MA_ERR_NO_PROCESS);
	assert_int_equal(ma_process_memory_open(&process, getpid(), -1, "", &error), 0);
	ma_process_memory_close(&process);
	close_child(&child);
}

static void test_closing_nothing(void **state)
{
	(void)state;
	struct ma_process_memory process;
	memset(&process, 0, sizeof process);
	ma_process_memory_close(&process);
	assert_true(fcntl(0, F_GETFD) >= 0); /* a zeroed one does not close stdin */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_numbers),   cmocka_unit_test(test_stat_line),
		cmocka_unit_test(test_real_child),      cmocka_unit_test(test_reused_pid),
		cmocka_unit_test(test_closing_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
