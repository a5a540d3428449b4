/* SPDX-License-Identifier: MIT */
/* Why a process may not be traced: every combination of facts by table, and real refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "child_process.h"
#include "inject/permission.h"

/* A process of our own user, without capabilities, without Yama: allowed. */
static struct ma_permission_facts usual(void)
{
	return (struct ma_permission_facts){
		.exists = true,
		.state = 'S',
		.our_uid = 1000,
		.our_gid = 1000,
		.uid = {1000, 1000, 1000},
		.gid = {1000, 1000, 1000},
		.yama_scope = -1,
	};
}

static void each_fact_has_its_denial(void **state)
{
	(void)state;
	struct ma_permission_facts f;
	f = usual();
	f.memory_readable = true;
	assert_int_equal(ma_permission_judge(&f, false), MA_DENIAL_NONE);
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_TRACED);
	f = usual();
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_LSM);
	f.exists = false;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_GONE);
	f = usual();
	f.self = true;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_SELF);
	f = usual();
	f.state = 'Z';
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_ZOMBIE);
	f = usual();
	f.kernel_thread = true;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_KERNEL_THREAD);
	f = usual();
	f.tracer = 7;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_TRACED);
	f = usual();
	f.own_ptrace_blocked = true;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_OWN_SECCOMP);
	for (int i = 0; i < 3; i++) {
		f = usual();
		f.uid[i] = 0;
		assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_USER);
		f = usual();
		f.gid[i] = 0;
		assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_USER);
		f.our_ptrace_capability = true;
		assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_LSM);
		f.other_user_namespace = true;
		assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_USER_NAMESPACE);
	}
	f = usual();
	f.undumpable = true;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_DUMPABLE);
	f.our_ptrace_capability = true;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_LSM);
	f = usual();
	f.capabilities = 1 << 10;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_CAPABILITIES);
	f.our_capabilities = 3 << 10;
	assert_int_equal(ma_permission_judge(&f, true), MA_DENIAL_LSM);
}

static void yama_by_scope(void **state)
{
	(void)state;
	static const struct {
		int scope;
		bool capable;
		bool descendant;
		enum ma_denial denial;
	} cases[] = {
		{0, false, false, MA_DENIAL_LSM},       {1, false, false, MA_DENIAL_YAMA_CHILDREN},
		{1, false, true, MA_DENIAL_LSM},        {1, true, false, MA_DENIAL_LSM},
		{2, false, true, MA_DENIAL_YAMA_ADMIN}, {2, true, false, MA_DENIAL_LSM},
		{3, true, true, MA_DENIAL_YAMA_OFF},    {3, false, false, MA_DENIAL_YAMA_OFF},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ma_permission_facts f = usual();
		f.yama_scope = cases[i].scope;
		f.our_ptrace_capability = cases[i].capable;
		f.descendant = cases[i].descendant;
		assert_int_equal(ma_permission_judge(&f, true), cases[i].denial);
	}
}

/* Whatever the cause and wherever we run: a sentence with the pid, and a line that helps. */
static void every_denial_has_words(void **state)
{
	(void)state;
	for (enum ma_denial denial = MA_DENIAL_GONE; denial < MA_DENIAL_COUNT; denial++) {
		for (enum ma_surroundings where = MA_ON_HOST; where <= MA_IN_KUBERNETES; where++) {
			struct ma_permission_facts f = usual();
			char answer[MA_DENIAL_ANSWER_BYTES], remedy[MA_DENIAL_REMEDY_BYTES];
			f.surroundings = where;
			f.tracer = 17;
			strcpy(f.tracer_name, "gdb");
			strcpy(f.label, "docker-default (enforce)");
			ma_permission_describe(4242, denial, &f, answer, remedy);
			assert_non_null(strstr(answer, "4242"));
			assert_true(strlen(remedy) > 20);
			assert_true(strlen(remedy) < MA_DENIAL_REMEDY_BYTES - 17);
			assert_null(strstr(remedy, "PID"));
			assert_true(ma_permission_code(denial) < 0);
			f.tracer = 0;
			f.label[0] = '\0';
			ma_permission_describe(4242, denial, &f, answer, remedy);
			assert_non_null(strstr(answer, "4242"));
		}
	}
}

static void remedies_fit_the_place(void **state)
{
	(void)state;
	struct ma_permission_facts f = usual();
	char answer[MA_DENIAL_ANSWER_BYTES], remedy[MA_DENIAL_REMEDY_BYTES];
	ma_permission_describe(4242, MA_DENIAL_YAMA_CHILDREN, &f, answer, remedy);
	assert_non_null(strstr(answer, "ptrace_scope = 1"));
	assert_non_null(strstr(remedy, "sudo memattach 4242"));
	assert_non_null(strstr(remedy, "sysctl kernel.yama.ptrace_scope=0"));
	assert_non_null(strstr(remedy, "AmbientCapabilities=CAP_SYS_PTRACE"));
	f.surroundings = MA_IN_CONTAINER;
	ma_permission_describe(4242, MA_DENIAL_USER, &f, answer, remedy);
	assert_non_null(strstr(remedy, "--cap-add SYS_PTRACE"));
	assert_non_null(strstr(remedy, "docker exec -u 1000"));
	f.surroundings = MA_IN_KUBERNETES;
	ma_permission_describe(4242, MA_DENIAL_USER, &f, answer, remedy);
	assert_non_null(strstr(remedy, "securityContext"));
	assert_non_null(strstr(remedy, "kubectl debug"));
	f.tracer = 17;
	strcpy(f.tracer_name, "gdb");
	ma_permission_describe(4242, MA_DENIAL_TRACED, &f, answer, remedy);
	assert_non_null(strstr(answer, "gdb (pid 17)"));
}

static int do_nothing(void *context)
{
	(void)context;
	return 0;
}

static void start(struct child *child, int (*run)(void *), void *context)
{
	char line[16];
	assert_int_equal(child_fork(child, run, context), 0);
	assert_string_equal(child_line(child, line, sizeof line), "ready");
}

static void a_child_of_ours_is_allowed(void **state)
{
	(void)state;
	struct child child;
	struct ma_permission_facts facts;
	struct ma_error error = {0};
	start(&child, do_nothing, NULL);
	assert_int_equal(ma_permission_check(child.pid, &error), 0);
	ma_permission_facts_read(child.pid, &facts);
	assert_true(facts.exists && facts.descendant && facts.memory_readable);
	assert_false(facts.self || facts.kernel_thread || facts.own_ptrace_blocked);
	assert_false(facts.other_user_namespace);
	kill(child.pid, SIGKILL);
	child_wait_zombie(&child);
	assert_int_equal(ma_permission_check(child.pid, &error), MA_ERR_NO_PROCESS);
	assert_non_null(strstr(error.answer, "zombie"));
	pid_t gone = child.pid;
	child_end(&child);
	assert_int_equal(ma_permission_check(gone, &error), MA_ERR_NO_PROCESS);
	assert_int_equal(ma_permission_check(getpid(), &error), MA_ERR_UNSAFE);
	assert_int_equal(ma_permission_explain(gone, ESRCH, "trying", &error), MA_ERR_NO_PROCESS);
	assert_int_equal(ma_permission_explain(gone, EIO, "trying", &error), MA_ERR_FAILED);
	assert_string_equal(error.what, "trying");
}

static int trace(void *context)
{
	return ptrace(PTRACE_SEIZE, *(pid_t *)context, NULL, NULL) != 0;
}

static void another_tracer_is_named(void **state)
{
	(void)state;
	struct child child, tracer;
	struct ma_error error = {0};
	char wanted[32];
	start(&child, do_nothing, NULL);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* where Yama lets only parents trace */
	start(&tracer, trace, &child.pid);
	long seized = ptrace(PTRACE_SEIZE, child.pid, NULL, NULL);
	if (seized == 0 || errno != EPERM) {
		child_end(&tracer);
		child_end(&child);
		fail_msg("the other tracer did not come to trace");
	}
	assert_int_equal(ma_permission_explain(child.pid, EPERM, "stopping it", &error),
			 MA_ERR_UNSAFE);
	snprintf(wanted, sizeof wanted, "(pid %d)", (int)tracer.pid);
	assert_non_null(strstr(error.answer, wanted));
	assert_non_null(strstr(error.answer, "test_look_permi"));
	assert_int_equal(ma_permission_check(child.pid, &error), MA_ERR_UNSAFE);
	child_end(&tracer);
	child_end(&child);
}

/* What a process without rights finds out, run in a child that gave its rights up. */
struct trial {
	pid_t pid;
	int code;
	const char *word;
	bool lose_dumpable;
};

static int as_nobody(void *context)
{
	const struct trial *trial = context;
	struct ma_error error = {0};
	if (setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		_exit(1);
	pid_t pid = trial->pid;
	struct child child = {0};
	if (trial->lose_dumpable) {
		char line[16];
		if (child_fork(&child, do_nothing, NULL))
			_exit(2);
		child_line(&child, line, sizeof line);
		pid = child.pid;
	}
	int code = ma_permission_check(pid, &error);
	bool good = code == trial->code && strstr(error.answer, trial->word) && error.remedy[0];
	if (!good)
		fprintf(stderr, "code %d: %s\n", code, error.answer);
	child_end(&child);
	_exit(good ? 42 : 3);
}

static void expect_as_nobody(struct trial trial)
{
	struct child child;
	int status;
	assert_int_equal(child_fork(&child, as_nobody, &trial), 0);
	assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
	close(child.input);
	close(child.output);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

static void real_refusals_are_told_apart(void **state)
{
	(void)state;
	struct child child;
	if (geteuid() != 0) {
		print_message("skipped: only root can give up its rights\n");
		skip();
	}
	start(&child, do_nothing, NULL);
	expect_as_nobody((struct trial){child.pid, MA_ERR_PERMISSION, "we are uid 65534", false});
	child_end(&child);
	/* After setuid a process is not dumpable until it runs another program; its child neither.
	 */
	expect_as_nobody((struct trial){0, MA_ERR_PERMISSION, "not dumpable", true});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fact_has_its_denial),
		cmocka_unit_test(yama_by_scope),
		cmocka_unit_test(every_denial_has_words),
		cmocka_unit_test(remedies_fit_the_place),
		cmocka_unit_test(a_child_of_ours_is_allowed),
		cmocka_unit_test(another_tracer_is_named),
		cmocka_unit_test(real_refusals_are_told_apart),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
