/* SPDX-License-Identifier: MIT */
/*
 * The list of system calls that an attach makes inside the target, and what must be true of each
 * for the target to be safe. The list is generous: a call that only some C libraries make is on it
 * as one that may fail, but must not kill.
 */
#include "inject/seccomp_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "inject/bpf.h"

enum {
	MAX_FILTERS = 256,
	MADV_WIPE_ON_FORK = 18,
	MADV_DO_NOT_DUMP = 16,
	MADV_DO_NOT_NEED = 4,
};

#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

enum need {
	MUST_WORK,
	MAY_FAIL,       /* with any errno */
	MAY_BE_UNKNOWN, /* with ENOSYS only: the C library then takes another way */
};

enum when { ALWAYS, BOOT_THREAD };

/* Which arguments are known: bit i stands for args[i]. */
enum {
	NONE = 0,
	FIRST = 1 << 0,
	THIRD = 1 << 2,
	THIRD_FOURTH = 1 << 2 | 1 << 3,
	READ_EXECUTE = PROT_READ | PROT_EXEC,
	READ_WRITE = PROT_READ | PROT_WRITE,
	FIXED = MAP_PRIVATE | MAP_FIXED,
	SHARED = MAP_SHARED | MAP_NORESERVE,
	RESERVED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
	OPEN_FLAGS = O_RDONLY | O_CLOEXEC,
};

#define CALL(name) #name, SYS_##name

static const struct {
	const char *name;
	uint32_t number;
	enum need need;
	enum when when;
	uint8_t known;
	uint64_t args[4];
} calls[] = {
	/* ours: remote calls, the boot code's, the hook's */
	{CALL(memfd_create), MUST_WORK, ALWAYS, NONE, {0}},
	{CALL(mmap), MUST_WORK, ALWAYS, THIRD_FOURTH, {0, 0, READ_EXECUTE, FIXED}},
	{CALL(mmap), MUST_WORK, ALWAYS, THIRD_FOURTH, {0, 0, READ_WRITE, SHARED}},
	{CALL(mmap), MUST_WORK, ALWAYS, THIRD_FOURTH, {0, 0, READ_WRITE, MAP_PRIVATE}},
	{CALL(mmap), MUST_WORK, ALWAYS, THIRD_FOURTH, {0, 0, READ_WRITE, RESERVED}},
	{CALL(munmap), MUST_WORK, ALWAYS, NONE, {0}},
	{CALL(mprotect), MUST_WORK, ALWAYS, THIRD, {0, 0, READ_WRITE}},
	{CALL(mprotect), MUST_WORK, ALWAYS, THIRD, {0, 0, PROT_READ}},
	{CALL(madvise), MUST_WORK, ALWAYS, THIRD, {0, 0, MADV_WIPE_ON_FORK}},
	{CALL(madvise), MAY_FAIL, ALWAYS, THIRD, {0, 0, MADV_DO_NOT_DUMP}},
	{CALL(close), MUST_WORK, ALWAYS, NONE, {0}},
	{CALL(tgkill), MUST_WORK, ALWAYS, THIRD, {0, 0, SIGURG}},
	{CALL(rt_sigreturn), MUST_WORK, ALWAYS, NONE, {0}},
	{CALL(gettid), MUST_WORK, ALWAYS, NONE, {0}},
	{CALL(fstat), MUST_WORK, ALWAYS, NONE, {0}},
	{CALL(rt_sigprocmask), MUST_WORK, ALWAYS, NONE, {0}},
	/* the dynamic loader's, on the hook */
	{CALL(openat), MUST_WORK, ALWAYS, THIRD, {0, 0, OPEN_FLAGS}},
	{CALL(read), MUST_WORK, ALWAYS, NONE, {0}},
	{CALL(mmap), MUST_WORK, ALWAYS, THIRD, {0, 0, READ_EXECUTE, 0}},
	{CALL(mmap), MUST_WORK, ALWAYS, THIRD, {0, 0, PROT_READ, 0}},
	{CALL(pread64), MAY_FAIL, ALWAYS, NONE, {0}},
	{CALL(newfstatat), MAY_FAIL, ALWAYS, NONE, {0}},
	{CALL(lseek), MAY_FAIL, ALWAYS, NONE, {0}},
	{CALL(getcwd), MAY_FAIL, ALWAYS, NONE, {0}},
	{CALL(brk), MAY_FAIL, ALWAYS, NONE, {0}},
	{CALL(futex), MUST_WORK, ALWAYS, NONE, {0}},
	/* a new thread's, and those of making one */
	{CALL(clone3), MAY_BE_UNKNOWN, BOOT_THREAD, NONE, {0}},
	{CALL(clone), MUST_WORK, BOOT_THREAD, FIRST, {THREAD_FLAGS}},
	{CALL(set_robust_list), MAY_FAIL, BOOT_THREAD, NONE, {0}},
	{CALL(rseq), MUST_WORK, BOOT_THREAD, NONE, {0}},
	{CALL(sched_getaffinity), MAY_FAIL, BOOT_THREAD, NONE, {0}},
	{CALL(madvise), MAY_FAIL, BOOT_THREAD, THIRD, {0, 0, MADV_DO_NOT_NEED}},
	{CALL(mmap), MAY_FAIL, BOOT_THREAD, THIRD_FOURTH, {0, 0, PROT_NONE, RESERVED}},
	{CALL(exit), MUST_WORK, BOOT_THREAD, NONE, {0}},
};

void ma_seccomp_filters_fini(struct ma_seccomp_filters *filters)
{
	for (size_t i = 0; i < filters->count; i++)
		free(filters->program[i]);
	free(filters->program);
	free(filters->length);
	*filters = (struct ma_seccomp_filters){0};
}

static int cannot_read(pid_t tid, int sys_errno, struct ma_error *error)
{
	enum ma_err code = sys_errno == ESRCH ? MA_ERR_NO_PROCESS : MA_ERR_PERMISSION;
	ma_error_set(error, code, sys_errno, "reading the seccomp filters of thread %d", (int)tid);
	if (code == MA_ERR_PERMISSION)
		ma_error_remedy(error,
				"it takes CAP_SYS_ADMIN on the host and no filter on memattach "
				"itself");
	return code;
}

int ma_seccomp_filters_read(pid_t stopped_tid, struct ma_seccomp_filters *filters,
			    struct ma_error *error)
{
	*filters = (struct ma_seccomp_filters){0};
	filters->program = calloc(MAX_FILTERS, sizeof *filters->program);
	filters->length = calloc(MAX_FILTERS, sizeof *filters->length);
	if (!filters->program || !filters->length)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "reading seccomp filters");
	for (;;) {
		long length = ptrace(PTRACE_SECCOMP_GET_FILTER, stopped_tid, filters->count, NULL);
		if (length < 0)
			return errno == ENOENT ? 0 : cannot_read(stopped_tid, errno, error);
		if (filters->count == MAX_FILTERS || length > BPF_MAXINSNS)
			return cannot_read(stopped_tid, E2BIG, error);
		struct sock_filter *program = calloc((size_t)length + 1, sizeof *program);
		if (!program)
			return ma_error_set(error, MA_ERR_FAILED, ENOMEM,
					    "reading seccomp filters");
		filters->program[filters->count] = program;
		filters->length[filters->count] = (size_t)length;
		if (ptrace(PTRACE_SECCOMP_GET_FILTER, stopped_tid, filters->count, program) !=
		    length) {
			int sys_errno = errno;
			free(program);
			return cannot_read(stopped_tid, sys_errno, error);
		}
		filters->count++;
	}
}

/* Appends a name once, with commas; "..." when the room is used up. */
static void add_name(char *list, size_t room, const char *name)
{
	size_t used = strlen(list), length = strlen(name);
	const char *seen = strstr(list, name);
	if (seen && (seen[length] == ',' || !seen[length]))
		return;
	if (used + length + 8 > room) {
		if (used < 3 || strcmp(list + used - 3, "...") != 0)
			snprintf(list + used, room - used, ", ...");
		return;
	}
	snprintf(list + used, room - used, "%s%s", used ? ", " : "", name);
}

/* What all filters together may answer to call `index`. */
static struct ma_bpf_outcome explore(const struct ma_seccomp_filters *filters, size_t index)
{
	struct ma_bpf_outcome outcome = {0};
	struct ma_bpf_input input = {.number = calls[index].number,
				     .architecture = AUDIT_ARCH_X86_64,
				     .known = calls[index].known};
	memcpy(input.args, calls[index].args, sizeof calls[index].args);
	for (size_t i = 0; i < filters->count; i++) {
		if (ma_bpf_check(filters->program[i], filters->length[i]))
			ma_bpf_explore(filters->program[i], filters->length[i], &input, &outcome);
		else
			outcome.kill = true;
	}
	return outcome;
}

void ma_seccomp_judge(const struct ma_seccomp_filters *filters, bool boot_thread,
		      struct ma_seccomp_report *report)
{
	*report = (struct ma_seccomp_report){.verdict = MA_SECCOMP_ALLOWED};
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		if (calls[i].when == BOOT_THREAD && !boot_thread)
			continue;
		struct ma_bpf_outcome outcome = explore(filters, i);
		if (outcome.kill || outcome.trap || outcome.supervise)
			add_name(report->killing, sizeof report->killing, calls[i].name);
		bool fails =
			(calls[i].need == MUST_WORK && (outcome.fail || outcome.no_system_call)) ||
			(calls[i].need == MAY_BE_UNKNOWN && outcome.fail);
		if (fails)
			add_name(report->failing, sizeof report->failing, calls[i].name);
	}
	if (report->killing[0])
		report->verdict = MA_SECCOMP_KILLS;
	else if (report->failing[0])
		report->verdict = MA_SECCOMP_REFUSES;
}

static int unsafe(struct ma_error *error, const char *remedy, const char *format, const char *names)
{
	char answer[200];
	snprintf(answer, sizeof answer, format, names);
	ma_error_set(error, MA_ERR_UNSAFE, 0, "checking the seccomp filter of the process");
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "%s", remedy);
	return MA_ERR_UNSAFE;
}

int ma_seccomp_admit(pid_t stopped_tid, const struct ma_proc_status *status, bool boot_thread,
		     bool trust, struct ma_seccomp_report *report, struct ma_error *error)
{
	static const char add_calls[] = "add these calls to the filter of the service or container "
					"(Docker: --security-opt seccomp=FILE)";
	struct ma_seccomp_filters filters = {0};

	*report = (struct ma_seccomp_report){.verdict = MA_SECCOMP_OFF};
	if (status->seccomp <= 0)
		return 0;
	if (status->seccomp == SECCOMP_MODE_STRICT) {
		report->verdict = MA_SECCOMP_STRICT;
		return unsafe(error, "nothing can be loaded into such a process",
			      "it is in seccomp's strict mode, where any foreign call kills it%s",
			      "");
	}
	int code = ma_seccomp_filters_read(stopped_tid, &filters, error);
	if (!code)
		ma_seccomp_judge(&filters, boot_thread, report);
	ma_seccomp_filters_fini(&filters);
	if (code == MA_ERR_NO_PROCESS || code == MA_ERR_FAILED)
		return code;
	if (code)
		report->verdict = MA_SECCOMP_UNKNOWN;
	switch (report->verdict) {
	case MA_SECCOMP_KILLS:
		return unsafe(error, add_calls, "its filter may kill it at: %s", report->killing);
	case MA_SECCOMP_REFUSES:
		return unsafe(error, add_calls, "its filter does not let it call: %s",
			      report->failing);
	case MA_SECCOMP_UNKNOWN:
		if (trust)
			return 0;
		return unsafe(
			error,
			"run memattach as root on the host, which may read the filter, or, where "
			"it is a container runtime's usual one (which answers EPERM and kills "
			"nothing):  --trust-seccomp",
			"it has a seccomp filter that we may not read, and a filter can kill it "
			"at our first call%s",
			"");
	default:
		return 0;
	}
}
