/* SPDX-License-Identifier: MIT */
/* /proc/PID files: samples with everything a target can put into them, and our own process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <elf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "child_process.h"
#include "inject/procfs.h"

static const char sample_status[] = "Name:\tevil\\nUid:\\\\ name\n"
				    "Umask:\t0022\n"
				    "State:\tt (tracing stop)\n"
				    "Tgid:\t4242\n"
				    "Ngid:\t0\n"
				    "Pid:\t4243\n"
				    "PPid:\t17\n"
				    "TracerPid:\t99\n"
				    "Uid:\t1000\t1001\t1002\t1003\n"
				    "Gid:\t100\t101\t102\t103\n"
				    "Groups:\t4 24 27\n"
				    "NStgid:\t4242\t12\t1\n"
				    "NSpid:\t4243\t13\t2\n"
				    "Kthread:\t0\n"
				    "VmSize:\t  123456 kB\n"
				    "VmRSS:\t    2048 kB\n"
				    "Threads:\t12\n"
				    "SigPnd:\t0000000000000001\n"
				    "ShdPnd:\t0000000000004000\n"
				    "SigBlk:\t0000000000010000\n"
				    "SigIgn:\t0000000001001000\n"
				    "SigCgt:\t8000000000000002\n"
				    "CapPrm:\t00000000a80425fb\n"
				    "CapEff:\t0000000000080000\n"
				    "NoNewPrivs:\t1\n"
				    "Seccomp:\t2\n"
				    "Seccomp_filters:\t3\n"
				    "x86_Thread_features:\tshstk wrss \n"
				    "x86_Thread_features_locked:\tshstk wrss \n";

static void status_has_every_field(void **state)
{
	(void)state;
	struct ma_proc_status s;
	assert_int_equal(ma_proc_status_parse(sample_status, sizeof sample_status - 1, &s, NULL),
			 0);
	assert_string_equal(s.name, "evil\nUid:\\ name");
	assert_int_equal(s.state, 't');
	assert_int_equal(s.tgid, 4242);
	assert_int_equal(s.ppid, 17);
	assert_int_equal(s.tracer, 99);
	assert_int_equal(s.uid[0], 1000);
	assert_int_equal(s.uid[3], 1003);
	assert_int_equal(s.gid[1], 101);
	assert_int_equal(s.ns_tgid, 1);
	assert_int_equal(s.ns_pid, 2);
	assert_int_equal(s.ns_depth, 2);
	assert_int_equal(s.threads, 12);
	assert_int_equal(s.virtual_bytes, 123456 * 1024);
	assert_int_equal(s.rss_bytes, 2048 * 1024);
	assert_int_equal(s.signals_pending, 1);
	assert_int_equal(s.signals_shared, 0x4000);
	assert_int_equal(s.signals_blocked, 0x10000);
	assert_int_equal(s.signals_ignored, 0x1001000);
	assert_true(s.signals_caught == UINT64_C(0x8000000000000002));
	assert_int_equal(s.cap_permitted, 0xa80425fb);
	assert_int_equal(s.cap_effective, 0x80000);
	assert_true(s.no_new_privs && s.shadow_stack && !s.kernel_thread);
	assert_int_equal(s.seccomp, 2);
	assert_int_equal(s.seccomp_filters, 3);
}

static void status_of_an_old_kernel(void **state)
{
	(void)state;
	static const char text[] = "Name:\tkworker\nState:\tI (idle)\nTgid:\t7\nPPid:\t2\n"
				   "x86_Thread_features:\t\n";
	struct ma_proc_status s;
	assert_int_equal(ma_proc_status_parse(text, sizeof text - 1, &s, NULL), 0);
	assert_true(s.kernel_thread);
	assert_false(s.shadow_stack);
	assert_int_equal(s.seccomp, -1);
	assert_int_equal(s.seccomp_filters, -1);
	assert_int_equal(s.ns_tgid, 7);
	assert_false(s.ns_known);
}

static void status_that_is_cut_anywhere_is_survived(void **state)
{
	(void)state;
	for (size_t length = 0; length < sizeof sample_status; length++) {
		struct ma_proc_status s;
		char *text = malloc(length + 1);
		memcpy(text, sample_status, length);
		text[length] = '\0';
		int code = ma_proc_status_parse(text, length, &s, NULL);
		assert_true(code == 0 || code == MA_ERR_PROTOCOL);
		free(text);
	}
}

static void stat_survives_its_comm(void **state)
{
	(void)state;
	static const char text[] =
		"4242 (a) R 1 (b)) S 17 4242 4242 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 "
		"12 0 987654 1000000 250 18446744073709551615";
	struct ma_proc_stat s;
	assert_int_equal(ma_proc_stat_parse(text, sizeof text - 1, &s, NULL), 0);
	assert_string_equal(s.comm, "a) R 1 (b)");
	assert_int_equal(s.state, 'S');
	assert_int_equal(s.ppid, 17);
	assert_int_equal(s.start_ticks, 987654);
	assert_int_equal(s.virtual_bytes, 1000000);
	assert_int_equal(s.rss_pages, 250);
	static const char *const wrong[] = {"", "4242", "4242 (a", ") (", "4242 (a) S 1 2"};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(ma_proc_stat_parse(wrong[i], strlen(wrong[i]), &s, NULL),
				 MA_ERR_PROTOCOL);
}

static void syscall_in_its_three_forms(void **state)
{
	(void)state;
	struct ma_proc_syscall c;
	static const char waiting[] = "202 0x1 0x2 0x3 0x4 0x5 0x6 0x7ffc00 0x7f0012\n";
	assert_int_equal(ma_proc_syscall_parse(waiting, sizeof waiting - 1, &c, NULL), 0);
	assert_int_equal(c.number, 202);
	assert_int_equal(c.args[5], 6);
	assert_int_equal(c.sp, 0x7ffc00);
	assert_int_equal(c.pc, 0x7f0012);
	assert_int_equal(ma_proc_syscall_parse("running\n", 8, &c, NULL), 0);
	assert_true(c.running);
	assert_int_equal(c.number, -1);
	assert_int_equal(ma_proc_syscall_parse("-1 0x10 0x20\n", 13, &c, NULL), 0);
	assert_false(c.running);
	assert_int_equal(c.number, -1);
	assert_int_equal(c.sp, 0x10);
	assert_int_equal(c.pc, 0x20);
	assert_int_equal(ma_proc_syscall_parse("1 2\n", 4, &c, NULL), MA_ERR_PROTOCOL);
	assert_int_equal(ma_proc_syscall_parse("", 0, &c, NULL), MA_ERR_PROTOCOL);
}

static void *wait_for_unlock(void *mutex)
{
	pthread_mutex_lock(mutex);
	pthread_mutex_unlock(mutex);
	return NULL;
}

static void tasks_are_all_threads(void **state)
{
	(void)state;
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_t threads[3];
	pid_t *tids;
	size_t count, before;
	assert_int_equal(ma_proc_tasks(getpid(), &tids, &before, NULL), 0);
	free(tids);
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, wait_for_unlock, &mutex), 0);
	assert_int_equal(ma_proc_tasks(getpid(), &tids, &count, NULL), 0);
	assert_int_equal(count, before + 3);
	for (size_t i = 1; i < count; i++)
		assert_true(tids[i] > tids[i - 1]);
	/* One of them waits in futex; it may still be on its way there. */
	struct ma_proc_syscall call;
	do {
		assert_int_equal(ma_proc_syscall_read(getpid(), tids[count - 1], &call, NULL), 0);
	} while (call.number != SYS_futex);
	free(tids);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

static void reads_ourselves(void **state)
{
	(void)state;
	struct ma_proc_status s;
	struct ma_proc_stat stat;
	struct ma_proc_auxv auxv;
	char text[300];
	assert_int_equal(ma_proc_status_read(getpid(), 0, &s, NULL), 0);
	assert_int_equal(s.tgid, getpid());
	assert_int_equal(s.ppid, getppid());
	assert_int_equal(s.uid[1], geteuid());
	assert_true(s.rss_bytes > 0 && s.virtual_bytes >= s.rss_bytes);
	assert_int_equal(ma_proc_stat_read(getpid(), 0, &stat, NULL), 0);
	assert_int_equal(stat.ppid, getppid());
	assert_true(stat.start_ticks > 0);
	assert_int_equal(ma_proc_auxv_read(getpid(), &auxv, NULL), 0);
	assert_int_equal(auxv.phdr, getauxval(AT_PHDR));
	assert_int_equal(auxv.phdr_count, getauxval(AT_PHNUM));
	assert_int_equal(auxv.entry, getauxval(AT_ENTRY));
	assert_int_equal(auxv.interpreter_base, getauxval(AT_BASE));
	assert_int_equal(auxv.vdso, getauxval(AT_SYSINFO_EHDR));
	assert_int_equal(ma_proc_elf_class(getpid()), ELFCLASS64);
	assert_int_equal(ma_proc_link(getpid(), "exe", text, sizeof text), 0);
	assert_non_null(strstr(text, "test_look_procfs"));
	ma_proc_command(getpid(), text, sizeof text);
	assert_non_null(strstr(text, "test_look_procfs"));
	assert_int_equal(ma_proc_link(getpid(), "nothing", text, sizeof text), -ENOENT);
	assert_string_equal(text, "");
	assert_int_equal(ma_proc_limit(getpid(), "No such limit"), UINT64_MAX);
	assert_true(ma_proc_limit(getpid(), "Max open files") > 2);
}

static int name_ourselves(void *context)
{
	return prctl(PR_SET_NAME, context);
}

static void reads_a_child(void **state)
{
	(void)state;
	static char name[] = "x) R 1\n(y";
	struct child child;
	struct ma_proc_status s;
	struct ma_proc_stat stat;
	char line[16], comm[64];
	pid_t *pids;
	size_t count;
	assert_int_equal(child_fork(&child, name_ourselves, name), 0);
	assert_string_equal(child_line(&child, line, sizeof line), "ready");
	assert_int_equal(ma_proc_status_read(child.pid, 0, &s, NULL), 0);
	assert_string_equal(s.name, name);
	assert_int_equal(s.ppid, getpid());
	assert_int_equal(ma_proc_stat_read(child.pid, 0, &stat, NULL), 0);
	assert_string_equal(stat.comm, name);
	assert_int_equal(stat.ppid, getpid());
	ma_proc_comm(child.pid, comm, sizeof comm);
	assert_string_equal(comm, name);

	kill(child.pid, SIGKILL);
	child_wait_zombie(&child);
	assert_int_equal(ma_proc_status_read(child.pid, 0, &s, NULL), 0);
	assert_int_equal(s.state, 'Z');
	assert_false(s.kernel_thread);
	pid_t gone = child.pid;
	child_end(&child);
	struct ma_error error = {0};
	assert_int_equal(ma_proc_status_read(gone, 0, &s, &error), MA_ERR_NO_PROCESS);
	assert_int_equal(error.sys_errno, ENOENT);
	assert_int_equal(ma_proc_tasks(gone, &pids, &count, NULL), MA_ERR_NO_PROCESS);
	ma_proc_comm(gone, comm, sizeof comm);
	assert_string_equal(comm, "?");
	assert_int_equal(ma_proc_elf_class(gone), 0);
}

static void slurp_bounds_what_it_takes(void **state)
{
	(void)state;
	char *text;
	size_t bytes;
	struct ma_error error = {0};
	assert_int_equal(ma_proc_slurp("/proc/self/maps", 16, &text, &bytes, &error),
			 MA_ERR_FAILED);
	assert_int_equal(error.sys_errno, EFBIG);
	assert_int_equal(ma_proc_slurp("/nowhere", 16, &text, &bytes, NULL), MA_ERR_NO_PROCESS);
	assert_int_equal(ma_proc_slurp("/dev/null", 16, &text, &bytes, NULL), 0);
	assert_int_equal(bytes, 0);
	assert_string_equal(text, "");
	free(text);
	assert_int_equal(ma_proc_number("/nowhere", -7), -7);
	assert_int_equal(ma_proc_number("/proc/self/comm", -7), -7);
	assert_true(ma_proc_number("/proc/sys/kernel/pid_max", -7) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_has_every_field),
		cmocka_unit_test(status_of_an_old_kernel),
		cmocka_unit_test(status_that_is_cut_anywhere_is_survived),
		cmocka_unit_test(stat_survives_its_comm),
		cmocka_unit_test(syscall_in_its_three_forms),
		cmocka_unit_test(tasks_are_all_threads),
		cmocka_unit_test(reads_ourselves),
		cmocka_unit_test(reads_a_child),
		cmocka_unit_test(slurp_bounds_what_it_takes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
