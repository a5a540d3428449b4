/* SPDX-License-Identifier: MIT */
/* Judging filters: made up, and read from a stopped child that really has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "child_process.h"
#include "inject/seccomp_filter.h"

/* A filter that answers `answer` to some calls and `otherwise` to the rest. */
struct rule {
	const uint32_t *numbers;
	size_t count;
	uint32_t answer;
	uint32_t otherwise;
};

enum { MAX_STEPS = 64 };

static size_t write_filter(const struct rule *rule, struct sock_filter program[MAX_STEPS])
{
	size_t n = 0;
	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						    offsetof(struct seccomp_data, arch));
	program[n++] =
		(struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
						    offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < rule->count; i++)
		program[n++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, rule->numbers[i], (uint8_t)(rule->count - i), 0);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, rule->otherwise);
	program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, rule->answer);
	return n;
}

static struct ma_seccomp_report judge(const struct rule *rules, size_t count, bool boot_thread)
{
	struct sock_filter programs[4][MAX_STEPS], *list[4];
	size_t lengths[4];
	struct ma_seccomp_filters filters = {.program = list, .length = lengths, .count = count};
	struct ma_seccomp_report report;
	for (size_t i = 0; i < count; i++) {
		lengths[i] = write_filter(&rules[i], programs[i]);
		list[i] = programs[i];
	}
	ma_seccomp_judge(&filters, boot_thread, &report);
	return report;
}

static void judges_by_our_own_calls(void **state)
{
	(void)state;
	static const uint32_t ptrace_only[] = {SYS_ptrace, SYS_reboot};
	static const uint32_t memory[] = {SYS_memfd_create, SYS_mmap};
	static const uint32_t thread[] = {SYS_clone};
	static const uint32_t newer[] = {SYS_clone3};
	static const uint32_t optional[] = {SYS_newfstatat, SYS_getcwd};

	struct rule rule = {ptrace_only, 2, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW};
	struct ma_seccomp_report report = judge(&rule, 1, true);
	assert_int_equal(report.verdict, MA_SECCOMP_ALLOWED);

	rule = (struct rule){memory, 2, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW};
	report = judge(&rule, 1, false);
	assert_int_equal(report.verdict, MA_SECCOMP_REFUSES);
	assert_string_equal(report.failing, "memfd_create, mmap");
	assert_string_equal(report.killing, "");

	rule.answer = SECCOMP_RET_KILL_THREAD;
	report = judge(&rule, 1, false);
	assert_int_equal(report.verdict, MA_SECCOMP_KILLS);
	assert_string_equal(report.killing, "memfd_create, mmap");

	rule = (struct rule){thread, 1, SECCOMP_RET_TRAP, SECCOMP_RET_ALLOW};
	assert_int_equal(judge(&rule, 1, false).verdict, MA_SECCOMP_ALLOWED);
	assert_int_equal(judge(&rule, 1, true).verdict, MA_SECCOMP_KILLS);

	/* The C library goes back to clone after ENOSYS, and after nothing else. */
	rule = (struct rule){newer, 1, SECCOMP_RET_ERRNO | ENOSYS, SECCOMP_RET_ALLOW};
	assert_int_equal(judge(&rule, 1, true).verdict, MA_SECCOMP_ALLOWED);
	rule.answer = SECCOMP_RET_ERRNO | EPERM;
	report = judge(&rule, 1, true);
	assert_int_equal(report.verdict, MA_SECCOMP_REFUSES);
	assert_string_equal(report.failing, "clone3");

	rule = (struct rule){optional, 2, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW};
	assert_int_equal(judge(&rule, 1, true).verdict, MA_SECCOMP_ALLOWED);
	rule.answer = SECCOMP_RET_USER_NOTIF;
	assert_int_equal(judge(&rule, 1, true).verdict, MA_SECCOMP_KILLS);
}

static void every_filter_has_its_say(void **state)
{
	(void)state;
	static const uint32_t close_only[] = {SYS_close}, nothing[] = {SYS_reboot};
	const struct rule rules[] = {
		{nothing, 1, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW},
		{close_only, 1, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_LOG},
	};
	struct ma_seccomp_report report = judge(rules, 2, true);
	assert_int_equal(report.verdict, MA_SECCOMP_KILLS);
	assert_string_equal(report.killing, "close");
	assert_int_equal(judge(rules, 1, true).verdict, MA_SECCOMP_ALLOWED);
}

static void an_allow_list_is_cut_when_it_names_too_many(void **state)
{
	(void)state;
	static const uint32_t nothing[] = {SYS_read};
	const struct rule rule = {nothing, 1, SECCOMP_RET_ALLOW, SECCOMP_RET_KILL_PROCESS};
	struct ma_seccomp_report report = judge(&rule, 1, true);
	assert_int_equal(report.verdict, MA_SECCOMP_KILLS);
	assert_true(strlen(report.killing) < sizeof report.killing);
	assert_string_equal(report.killing + strlen(report.killing) - 3, "...");
}

static void a_filter_that_is_none_counts_as_deadly(void **state)
{
	(void)state;
	struct sock_filter broken[] = {BPF_STMT(BPF_LD | BPF_IMM, 0)}, *list = broken;
	size_t length = 1;
	struct ma_seccomp_filters filters = {.program = &list, .length = &length, .count = 1};
	struct ma_seccomp_report report;
	ma_seccomp_judge(&filters, false, &report);
	assert_int_equal(report.verdict, MA_SECCOMP_KILLS);
}

static int filter_ourselves(void *context)
{
	struct sock_filter program[MAX_STEPS];
	struct sock_fprog filter = {.len = (unsigned short)write_filter(context, program),
				    .filter = program};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

static int be_strict(void *context)
{
	(void)context;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
}

/* Starts a child with a filter, stops it, and asks whether an attach may go on. */
static int admit_child(int (*confine)(void *), void *context, bool trust,
		       struct ma_seccomp_report *report, struct ma_error *error)
{
	struct child child;
	struct ma_proc_status status;
	char line[16];
	assert_int_equal(child_fork(&child, confine, context), 0);
	assert_string_equal(child_line(&child, line, sizeof line), "ready");
	assert_int_equal(ma_proc_status_read(child.pid, 0, &status, NULL), 0);
	assert_int_equal(ptrace(PTRACE_SEIZE, child.pid, NULL, NULL), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, child.pid, NULL, NULL), 0);
	assert_int_equal(waitpid(child.pid, NULL, __WALL), child.pid);
	int code = ma_seccomp_admit(child.pid, &status, true, trust, report, error);
	child_end(&child);
	return code;
}

static int do_nothing(void *context)
{
	(void)context;
	return 0;
}

static void reads_the_filters_of_a_child(void **state)
{
	(void)state;
	static const uint32_t harmless[] = {SYS_reboot}, ours[] = {SYS_memfd_create, SYS_tgkill};
	struct rule rule = {harmless, 1, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW};
	struct ma_seccomp_report report;
	struct ma_error error = {0};
	if (geteuid() != 0 || prctl(PR_GET_SECCOMP) != 0) {
		print_message("skipped: only root without a filter may read filters\n");
		skip();
	}
	assert_int_equal(admit_child(do_nothing, NULL, false, &report, &error), 0);
	assert_int_equal(report.verdict, MA_SECCOMP_OFF);
	assert_int_equal(admit_child(filter_ourselves, &rule, false, &report, &error), 0);
	assert_int_equal(report.verdict, MA_SECCOMP_ALLOWED);
	rule = (struct rule){ours, 2, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW};
	assert_int_equal(admit_child(filter_ourselves, &rule, true, &report, &error),
			 MA_ERR_UNSAFE);
	assert_string_equal(report.killing, "memfd_create, tgkill");
	assert_non_null(strstr(error.answer, "memfd_create, tgkill"));
	rule.answer = SECCOMP_RET_ERRNO | EACCES;
	assert_int_equal(admit_child(filter_ourselves, &rule, true, &report, &error),
			 MA_ERR_UNSAFE);
	assert_int_equal(report.verdict, MA_SECCOMP_REFUSES);
	assert_int_equal(admit_child(be_strict, NULL, true, &report, &error), MA_ERR_UNSAFE);
	assert_int_equal(report.verdict, MA_SECCOMP_STRICT);
}

/* A process without CAP_SYS_ADMIN cannot tell, and must not go on unasked. */
static int admit_without_privilege(void *context)
{
	static const uint32_t harmless[] = {SYS_reboot};
	struct rule rule = {harmless, 1, SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ALLOW};
	struct ma_seccomp_report report;
	struct ma_error error = {0};
	bool *trust = context;
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		return 1;
	prctl(PR_SET_DUMPABLE, 1);
	int code = admit_child(filter_ourselves, &rule, *trust, &report, &error);
	_exit(report.verdict == MA_SECCOMP_UNKNOWN && code == (*trust ? 0 : MA_ERR_UNSAFE) &&
			      (*trust || strstr(error.remedy, "--trust-seccomp"))
		      ? 42
		      : 1);
}

static void refuses_what_it_cannot_read(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("skipped: only root can give up its rights\n");
		skip();
	}
	for (int trust = 0; trust < 2; trust++) {
		struct child child;
		bool trusted = trust;
		int status;
		assert_int_equal(child_fork(&child, admit_without_privilege, &trusted), 0);
		assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 42);
		close(child.input);
		close(child.output);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(judges_by_our_own_calls),
		cmocka_unit_test(every_filter_has_its_say),
		cmocka_unit_test(an_allow_list_is_cut_when_it_names_too_many),
		cmocka_unit_test(a_filter_that_is_none_counts_as_deadly),
		cmocka_unit_test(reads_the_filters_of_a_child),
		cmocka_unit_test(refuses_what_it_cannot_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
