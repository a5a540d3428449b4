/* SPDX-License-Identifier: MIT */
/*
 * The judgement follows __ptrace_may_access and ptrace_attach (kernel/ptrace.c),
 * cap_ptrace_access_check (security/commoncap.c) and yama_ptrace_access_check
 * (security/yama/yama_lsm.c).
 */
#include "inject/permission.h"

#include "inject/procfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CAP_SYS_PTRACE_BIT = 19, YAMA_NONE = -1, MAX_ANCESTORS = 1024 };

enum ma_surroundings ma_permission_surroundings(void)
{
	if (getenv("KUBERNETES_SERVICE_HOST") ||
	    access("/var/run/secrets/kubernetes.io", F_OK) == 0)
		return MA_IN_KUBERNETES;
	if (access("/.dockerenv", F_OK) == 0 || access("/run/.containerenv", F_OK) == 0 ||
	    getenv("container"))
		return MA_IN_CONTAINER;
	return MA_ON_HOST;
}

/* Do /proc/PID and /proc/self show another user namespace? The link needs ptrace's own permission;
 * the id map is open to all and differs between a namespace and its parents. */
static bool in_other_user_namespace(pid_t pid)
{
	char theirs[64], ours[64], path[64];
	if (!ma_proc_link(pid, "ns/user", theirs, sizeof theirs) &&
	    !ma_proc_link(getpid(), "ns/user", ours, sizeof ours))
		return strcmp(theirs, ours) != 0;
	char *their_map = NULL, *our_map = NULL;
	size_t their_bytes, our_bytes;
	snprintf(path, sizeof path, "/proc/%d/uid_map", (int)pid);
	bool differs = !ma_proc_slurp(path, 1 << 16, &their_map, &their_bytes, NULL) &&
		       !ma_proc_slurp("/proc/self/uid_map", 1 << 16, &our_map, &our_bytes, NULL) &&
		       strcmp(their_map, our_map) != 0;
	free(their_map);
	free(our_map);
	return differs;
}

static void read_label(pid_t pid, char *label, size_t room)
{
	char path[64], *text;
	size_t bytes;
	label[0] = '\0';
	snprintf(path, sizeof path, "/proc/%d/attr/current", (int)pid);
	if (ma_proc_slurp(path, 1 << 16, &text, &bytes, NULL))
		return;
	text[strcspn(text, "\n")] = '\0';
	if (strcmp(text, "unconfined") != 0)
		snprintf(label, room, "%s", text);
	free(text);
}

static bool descends_from_us(pid_t pid)
{
	for (int i = 0; i < MAX_ANCESTORS && pid > 1; i++) {
		struct ma_proc_stat stat;
		if (ma_proc_stat_read(pid, 0, &stat, NULL))
			return false;
		if (stat.ppid == getpid())
			return true;
		pid = stat.ppid;
	}
	return false;
}

/*
 * The kernel gives the files below /proc/PID to root when the process is not dumpable
 * (task_dump_owner). For a process of root itself that shows nothing.
 */
static bool is_undumpable(pid_t pid, uid_t effective)
{
	char path[64];
	struct stat st;
	snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
	return stat(path, &st) == 0 && st.st_uid != effective;
}

/* A request that the kernel answers with ESRCH, as nobody traces us: EPERM or ENOSYS is a filter.
 */
static bool own_ptrace_is_blocked(void)
{
	return ptrace(PTRACE_PEEKDATA, getpid(), NULL, NULL) < 0 &&
	       (errno == EPERM || errno == ENOSYS || errno == EACCES);
}

static bool probe_memory(pid_t pid)
{
	char byte;
	struct iovec local = {.iov_base = &byte, .iov_len = 1};
	struct iovec remote = {.iov_base = NULL, .iov_len = 1};
	return process_vm_readv(pid, &local, 1, &remote, 1, 0) >= 0 || errno == EFAULT;
}

void ma_permission_facts_read(pid_t pid, struct ma_permission_facts *facts)
{
	struct ma_proc_status status, own;
	*facts = (struct ma_permission_facts){
		.our_uid = geteuid(), .our_gid = getegid(), .yama_scope = YAMA_NONE, .state = '?'};
	facts->surroundings = ma_permission_surroundings();
	if (!ma_proc_status_read(getpid(), 0, &own, NULL)) {
		facts->our_capabilities = own.cap_permitted;
		facts->our_ptrace_capability = own.cap_effective >> CAP_SYS_PTRACE_BIT & 1;
	}
	facts->yama_scope = (int)ma_proc_number("/proc/sys/kernel/yama/ptrace_scope", YAMA_NONE);
	facts->own_ptrace_blocked = own_ptrace_is_blocked();
	read_label(getpid(), facts->our_label, sizeof facts->our_label);
	if (pid <= 0 || ma_proc_status_read(pid, 0, &status, NULL))
		return;
	facts->exists = true;
	facts->state = status.state;
	facts->kernel_thread = status.kernel_thread;
	facts->self = pid == getpid();
	facts->tracer = status.tracer == getpid() ? 0 : status.tracer;
	if (facts->tracer)
		ma_proc_comm(status.tracer, facts->tracer_name, sizeof facts->tracer_name);
	for (int i = 0; i < 3; i++) {
		facts->uid[i] = status.uid[i];
		facts->gid[i] = status.gid[i];
	}
	facts->capabilities = status.cap_permitted;
	facts->other_user_namespace = in_other_user_namespace(pid);
	facts->undumpable = is_undumpable(pid, status.uid[1]);
	facts->descendant = descends_from_us(pid);
	facts->memory_readable = probe_memory(pid);
	read_label(pid, facts->label, sizeof facts->label);
}

static bool same_user(const struct ma_permission_facts *facts)
{
	for (int i = 0; i < 3; i++) {
		if (facts->uid[i] != facts->our_uid || facts->gid[i] != facts->our_gid)
			return false;
	}
	return true;
}

/* What the kernel would say by the facts alone, the LSMs' labels aside. */
static enum ma_denial judge_access(const struct ma_permission_facts *facts)
{
	/* In our own user namespace the capability overrules everything but ptrace_scope 3. */
	bool capable = facts->our_ptrace_capability && !facts->other_user_namespace;
	if (!capable && !same_user(facts))
		return facts->other_user_namespace ? MA_DENIAL_USER_NAMESPACE : MA_DENIAL_USER;
	if (!capable && facts->undumpable)
		return MA_DENIAL_DUMPABLE;
	if (!capable && facts->other_user_namespace)
		return MA_DENIAL_USER_NAMESPACE;
	if (!capable && (facts->capabilities & ~facts->our_capabilities))
		return MA_DENIAL_CAPABILITIES;
	if (facts->yama_scope >= 3)
		return MA_DENIAL_YAMA_OFF;
	if (!capable && facts->yama_scope == 2)
		return MA_DENIAL_YAMA_ADMIN;
	if (!capable && facts->yama_scope == 1 && !facts->descendant)
		return MA_DENIAL_YAMA_CHILDREN;
	return MA_DENIAL_NONE;
}

enum ma_denial ma_permission_judge(const struct ma_permission_facts *facts, bool denied)
{
	if (!facts->exists)
		return MA_DENIAL_GONE;
	if (facts->self)
		return MA_DENIAL_SELF;
	if (facts->state == 'Z' || facts->state == 'X')
		return MA_DENIAL_ZOMBIE;
	if (facts->kernel_thread)
		return MA_DENIAL_KERNEL_THREAD;
	if (facts->tracer || facts->state == 't')
		return MA_DENIAL_TRACED;
	if (facts->own_ptrace_blocked)
		return MA_DENIAL_OWN_SECCOMP;
	/* process_vm_readv asks the same questions as PTRACE_SEIZE, down to Yama and the labels:
	 * where it was let through, only a tracer that we cannot see is left as a reason. */
	if (facts->memory_readable)
		return denied ? MA_DENIAL_TRACED : MA_DENIAL_NONE;
	enum ma_denial denial = judge_access(facts);
	return denial == MA_DENIAL_NONE ? MA_DENIAL_LSM : denial;
}

enum ma_err ma_permission_code(enum ma_denial denial)
{
	switch (denial) {
	case MA_DENIAL_NONE:
		return MA_OK;
	case MA_DENIAL_GONE:
	case MA_DENIAL_ZOMBIE:
		return MA_ERR_NO_PROCESS;
	case MA_DENIAL_SELF:
	case MA_DENIAL_TRACED:
		return MA_ERR_UNSAFE;
	case MA_DENIAL_KERNEL_THREAD:
		return MA_ERR_NOT_PYTHON;
	default:
		return MA_ERR_PERMISSION;
	}
}

int ma_permission_check(pid_t pid, struct ma_error *error)
{
	struct ma_permission_facts facts;
	ma_permission_facts_read(pid, &facts);
	enum ma_denial denial = ma_permission_judge(&facts, false);
	if (denial == MA_DENIAL_NONE)
		return 0;
	char answer[MA_DENIAL_ANSWER_BYTES], remedy[MA_DENIAL_REMEDY_BYTES];
	ma_permission_describe(pid, denial, &facts, answer, remedy);
	enum ma_err code = ma_permission_code(denial);
	ma_error_set(error, code, code == MA_ERR_PERMISSION ? EPERM : 0, "looking into process %d",
		     (int)pid);
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "%s", remedy);
	return code;
}

int ma_permission_explain(pid_t pid, int sys_errno, const char *what, struct ma_error *error)
{
	if (sys_errno == ESRCH || sys_errno == ENOENT) {
		ma_error_set(error, MA_ERR_NO_PROCESS, sys_errno, "%s", what);
		ma_error_answer(error, "there is no process %d, or it has just ended", (int)pid);
		return MA_ERR_NO_PROCESS;
	}
	if (sys_errno != EPERM && sys_errno != EACCES)
		return ma_error_set(error, MA_ERR_FAILED, sys_errno, "%s", what);

	struct ma_permission_facts facts;
	char answer[MA_DENIAL_ANSWER_BYTES], remedy[MA_DENIAL_REMEDY_BYTES];
	ma_permission_facts_read(pid, &facts);
	enum ma_denial denial = ma_permission_judge(&facts, true);
	ma_permission_describe(pid, denial, &facts, answer, remedy);
	enum ma_err code = ma_permission_code(denial);
	ma_error_set(error, code, sys_errno, "%s", what);
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "%s", remedy);
	return code;
}
