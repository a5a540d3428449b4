/* SPDX-License-Identifier: MIT */
/*
 * `memattach doctor`: every pre-check of an attach, each as one line with what was found and what
 * helps. The target is only looked at; where it has a seccomp filter that we may read, one thread
 * stops for that, as it would at an attach. Two tables: what concerns this machine, and what
 * concerns one process.
 */
#include "inject/attach.h"
#include "inject/headroom.h"
#include "inject/hook_file.h"
#include "inject/inspect.h"
#include "inject/permission.h"
#include "inject/seccomp_look.h"

#include "proto/area.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { CAP_SYS_ADMIN_BIT = 21, FDS_NEEDED = 4 };
#define ADDRESS_SPACE_SLACK_BYTES (UINT64_C(32) << 20) /* hook, loader, stacks */

/* What the checks look at, gathered once. view_code says how far the view got. */
struct patient {
	pid_t pid;
	struct ma_permission_facts facts;
	struct ma_proc_status own;
	struct ma_view view;
	int view_code;
	struct ma_error view_error;
};

__attribute__((format(printf, 3, 4))) static void
report(struct ma_check *check, enum ma_check_state state, const char *found, ...)
{
	va_list ap;
	va_start(ap, found);
	check->state = state;
	vsnprintf(check->found, sizeof check->found, found, ap);
	va_end(ap);
}

/* Fails, as an attach would: for the process's own good. */
__attribute__((format(printf, 2, 3))) static void refuse(struct ma_check *check, const char *found,
							 ...)
{
	va_list ap;
	va_start(ap, found);
	check->state = MA_CHECK_FAIL;
	check->code = MA_ERR_UNSAFE;
	vsnprintf(check->found, sizeof check->found, found, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 3))) static void advise(struct ma_check *check, const char *text,
							 ...)
{
	va_list ap;
	va_start(ap, text);
	vsnprintf(check->remedy, sizeof check->remedy, text, ap);
	va_end(ap);
}

/* This machine. */

static void check_machine(const struct patient *p, struct ma_check *check)
{
	struct utsname name;
	(void)p;
	if (uname(&name))
		report(check, MA_CHECK_WARN, "cannot be told: %s", strerror(errno));
	else if (strcmp(name.machine, "x86_64") != 0)
		report(check, MA_CHECK_FAIL, "%.60s: memattach runs on x86-64 only", name.machine);
	else
		report(check, MA_CHECK_OK, "Linux %.80s on x86-64", name.release);
}

static void check_pidfd(const struct patient *p, struct ma_check *check)
{
	(void)p;
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd >= 0) {
		close(fd);
		report(check, MA_CHECK_OK, "pidfd_open works");
		return;
	}
	report(check, MA_CHECK_FAIL, "pidfd_open: %s", strerror(errno));
	advise(check,
	       "Linux 5.3 or later is needed, and a sandbox that lets pidfd_open pass (Docker "
	       "20.10 or later)");
}

static void check_proc(const struct patient *p, struct ma_check *check)
{
	(void)p;
	if (access("/proc/self/maps", R_OK) == 0) {
		report(check, MA_CHECK_OK, "/proc is mounted");
		return;
	}
	report(check, MA_CHECK_FAIL, "/proc/self/maps: %s", strerror(errno));
	advise(check, "mount -t proc proc /proc");
}

static void check_own_rights(const struct patient *p, struct ma_check *check)
{
	if (p->facts.own_ptrace_blocked) {
		char answer[MA_DENIAL_ANSWER_BYTES];
		report(check, MA_CHECK_FAIL, "a seccomp filter on memattach itself forbids ptrace");
		ma_permission_describe(0, MA_DENIAL_OWN_SECCOMP, &p->facts, answer, check->remedy);
	} else if (p->facts.our_ptrace_capability) {
		report(check, MA_CHECK_OK, "uid %u with CAP_SYS_PTRACE: processes of every user",
		       p->facts.our_uid);
	} else {
		char answer[MA_DENIAL_ANSWER_BYTES];
		report(check, MA_CHECK_WARN,
		       "uid %u without CAP_SYS_PTRACE: processes of this user only",
		       p->facts.our_uid);
		ma_permission_describe(p->pid, MA_DENIAL_USER, &p->facts, answer, check->remedy);
	}
}

static void check_yama(const struct patient *p, struct ma_check *check)
{
	static const char *const meaning[] = {"classic rules", "own children only",
					      "CAP_SYS_PTRACE only", "nobody"};
	static const enum ma_denial denial[] = {MA_DENIAL_NONE, MA_DENIAL_YAMA_CHILDREN,
						MA_DENIAL_YAMA_ADMIN, MA_DENIAL_YAMA_OFF};
	char answer[MA_DENIAL_ANSWER_BYTES];
	int scope = p->facts.yama_scope;
	if (scope < 0) {
		report(check, MA_CHECK_OK, "not in this kernel");
		return;
	}
	if (scope > 3)
		scope = 3;
	bool overruled = p->facts.our_ptrace_capability && scope < 3;
	enum ma_check_state bad = scope == 3 ? MA_CHECK_FAIL : MA_CHECK_WARN;
	report(check, scope == 0 || overruled ? MA_CHECK_OK : bad,
	       "kernel.yama.ptrace_scope = %d: %s%s", scope, meaning[scope],
	       scope && overruled ? "; CAP_SYS_PTRACE overrules it" : "");
	if (check->state != MA_CHECK_OK)
		ma_permission_describe(p->pid, denial[scope], &p->facts, answer, check->remedy);
}

static void check_memfd(const struct patient *p, struct ma_check *check)
{
	(void)p;
	int fd = (int)syscall(SYS_memfd_create, "memattach-doctor", 1u /* MFD_CLOEXEC */);
	int sys_errno = errno;
	int64_t noexec = ma_proc_number("/proc/sys/vm/memfd_noexec", -1);
	if (fd >= 0)
		close(fd);
	/* 2 asks for MFD_NOEXEC_SEAL, which we then use: mapping such a file r-x is still allowed.
	 */
	if (fd >= 0 || noexec == 2) {
		if (noexec < 0)
			report(check, MA_CHECK_OK, "memfd_create works");
		else
			report(check, MA_CHECK_OK, "memfd_create works (vm.memfd_noexec = %d)",
			       (int)noexec);
		return;
	}
	report(check, MA_CHECK_FAIL, "memfd_create: %s", strerror(sys_errno));
	advise(check, "Linux 3.17 or later is needed, and a sandbox that lets memfd_create pass");
}

static void check_security_module(const struct patient *p, struct ma_check *check)
{
	if (ma_proc_number("/sys/fs/selinux/booleans/deny_ptrace", 0) == 1) {
		report(check, MA_CHECK_FAIL, "SELinux: deny_ptrace is on");
		advise(check, "sudo setsebool deny_ptrace 0");
	} else if (p->facts.our_label[0]) {
		report(check, MA_CHECK_WARN, "memattach runs confined as '%.100s'",
		       p->facts.our_label);
		advise(check, "if the profile forbids ptrace: Docker: --security-opt "
			      "apparmor=unconfined; Kubernetes: appArmorProfile: {type: "
			      "Unconfined}");
	} else {
		report(check, MA_CHECK_OK, "memattach runs unconfined");
	}
}

/* One process. */

/* Did the look get as far as reading its memory? */
static bool readable(const struct patient *p)
{
	return p->view.maps.count && p->view.memory.ops && p->view.link_map.count;
}

static void check_exists(const struct patient *p, struct ma_check *check)
{
	if (p->view_code == MA_ERR_NO_PROCESS) {
		report(check, MA_CHECK_FAIL, "%s", p->view_error.answer);
		advise(check, "%s", p->view_error.remedy);
		return;
	}
	const struct ma_proc_status *status = &p->view.status;
	if (status->ns_depth)
		report(check, MA_CHECK_OK,
		       "%.60s, uid %u, %u threads, pid %d in its own PID namespace", status->name,
		       status->uid[1], status->threads, (int)status->ns_tgid);
	else
		report(check, MA_CHECK_OK, "%.60s, uid %u, %u threads", status->name,
		       status->uid[1], status->threads);
}

static void check_state(const struct patient *p, struct ma_check *check)
{
	switch (p->view.status.state) {
	case 'T':
		report(check, MA_CHECK_WARN, "stopped by a signal (T)");
		advise(check, "an attach works, but is safest after  kill -CONT %d", (int)p->pid);
		break;
	case 'D':
		report(check, MA_CHECK_WARN,
		       "its main thread waits in the kernel and cannot be "
		       "stopped (D)");
		advise(check, "an attach uses another thread, or waits");
		break;
	default:
		report(check, MA_CHECK_OK, "running normally (%c)", p->view.status.state);
		break;
	}
}

static void check_tracer(const struct patient *p, struct ma_check *check)
{
	char answer[MA_DENIAL_ANSWER_BYTES];
	if (!p->facts.tracer) {
		report(check, MA_CHECK_OK, "nobody traces it");
		return;
	}
	report(check, MA_CHECK_FAIL, "traced by %s (pid %d)", p->facts.tracer_name,
	       (int)p->facts.tracer);
	ma_permission_describe(p->pid, MA_DENIAL_TRACED, &p->facts, answer, check->remedy);
}

static void check_permission(const struct patient *p, struct ma_check *check)
{
	char answer[MA_DENIAL_ANSWER_BYTES];
	enum ma_denial denial = ma_permission_judge(&p->facts, false);
	if (denial == MA_DENIAL_NONE || denial == MA_DENIAL_TRACED) {
		report(check, MA_CHECK_OK, "we may trace it");
		return;
	}
	ma_permission_describe(p->pid, denial, &p->facts, answer, check->remedy);
	report(check, MA_CHECK_FAIL, "%s", answer);
}

static void check_program(const struct patient *p, struct ma_check *check)
{
	const struct ma_process *process = &p->view.process;
	if (p->view_code == MA_ERR_NOT_PYTHON && !p->view.link_map.count) {
		report(check, MA_CHECK_FAIL, "%s", p->view_error.answer);
		advise(check, "%s", p->view_error.remedy);
	} else if (!readable(p)) {
		report(check, MA_CHECK_SKIPPED, "its memory could not be read: %.150s",
		       p->view_error.answer);
	} else {
		report(check, MA_CHECK_OK, "64-bit, dynamically linked, %.120s", process->exe);
	}
}

static void check_libc(const struct patient *p, struct ma_check *check)
{
	const struct ma_link_map *map = &p->view.link_map;
	if (!readable(p)) {
		report(check, MA_CHECK_SKIPPED, "its memory could not be read");
		return;
	}
	switch (map->libc) {
	case MA_LIBC_GLIBC:
		report(check, MA_CHECK_OK, "glibc, %.150s",
		       map->object[map->libc_object].module.path);
		break;
	case MA_LIBC_MUSL:
		report(check, MA_CHECK_WARN, "musl, where a library can never be unloaded again");
		advise(check, "the hook stays mapped, switched off, after a detach");
		break;
	case MA_LIBC_UNKNOWN:
		report(check, MA_CHECK_FAIL, "neither glibc nor musl");
		advise(check, "a CPython on glibc 2.31 or later is needed");
		break;
	}
}

static void check_python(const struct patient *p, struct ma_check *check)
{
	const struct ma_process *process = &p->view.process;
	if (!readable(p)) {
		report(check, MA_CHECK_SKIPPED, "its memory could not be read");
	} else if (p->view_code == MA_ERR_NOT_PYTHON) {
		report(check, MA_CHECK_FAIL, "%s", p->view_error.answer);
		advise(check, "%s", p->view_error.remedy);
	} else if (!process->python_version) {
		report(check, MA_CHECK_FAIL, "%.80s: %.100s", p->view_error.what,
		       p->view_error.answer);
	} else {
		report(check, MA_CHECK_OK, "CPython %s in %.140s", process->python_release,
		       process->python_path);
	}
}

static void check_seccomp(const struct patient *p, struct ma_check *check)
{
	const struct ma_proc_status *status = &p->view.status;
	bool can_read = p->own.cap_effective >> CAP_SYS_ADMIN_BIT & 1 && p->own.seccomp == 0;
	struct ma_error error = {0};
	if (status->seccomp <= 0) {
		report(check, MA_CHECK_OK, "no filter");
	} else if (status->seccomp == 1) {
		refuse(check, "strict mode: any call of ours would kill it");
		advise(check, "nothing can be loaded into such a process");
	} else if (!can_read) {
		refuse(check, "filtered, and we may not read its filters");
		advise(check,
		       "where it is the container runtime's usual filter:  memattach "
		       "--trust-seccomp %d\n"
		       "else run memattach as root on the host, which may read them",
		       (int)p->pid);
	} else if (p->view_code) {
		report(check, MA_CHECK_SKIPPED, "filtered; not judged, for what else was found");
	} else if (ma_seccomp_look(p->pid, &error)) {
		refuse(check, "%s", error.answer[0] ? error.answer : error.what);
		advise(check, "%s", error.remedy);
	} else {
		report(check, MA_CHECK_OK, "filtered; the filter allows what an attach does");
	}
}

static void check_shadow_stack(const struct patient *p, struct ma_check *check)
{
	if (p->view.status.shadow_stack) {
		refuse(check, "its threads run with a shadow stack");
		advise(check, "restart it without:  GLIBC_TUNABLES=glibc.cpu.hwcaps=-SHSTK");
	} else {
		report(check, MA_CHECK_OK, "off");
	}
}

static void check_headroom(const struct patient *p, struct ma_check *check)
{
	struct ma_headroom room;
	struct ma_error error;
	int code = ma_headroom_check(p->pid, MA_HEADROOM_SAMPLED_BYTES, &room, &error);
	if (code) {
		refuse(check, "%s", error.answer);
		advise(check, "%s", error.remedy);
	} else if (room.limited) {
		report(check, MA_CHECK_OK, "%.1f MiB left of %.1f MiB (cgroup %.100s)",
		       (double)room.free_bytes / 1048576, (double)room.limit_bytes / 1048576,
		       room.cgroup);
	} else {
		report(check, MA_CHECK_OK, "no cgroup limit");
	}
}

static void check_address_space(const struct patient *p, struct ma_check *check)
{
	uint64_t limit = ma_proc_limit(p->pid, "Max address space");
	uint64_t used = p->view.status.virtual_bytes;
	uint64_t need = (uint64_t)MA_AREA_SAMPLED_BYTES + ADDRESS_SPACE_SLACK_BYTES;
	if (limit == UINT64_MAX) {
		report(check, MA_CHECK_OK, "no limit");
		return;
	}
	uint64_t room = limit > used ? limit - used : 0;
	report(check, room < need ? MA_CHECK_FAIL : MA_CHECK_OK,
	       "%.0f MiB left under RLIMIT_AS, %.0f MiB needed", (double)room / 1048576,
	       (double)need / 1048576);
	if (room < need)
		advise(check, "sudo prlimit --pid %d --as=unlimited", (int)p->pid);
}

static void check_descriptors(const struct patient *p, struct ma_check *check)
{
	char path[64];
	uint64_t limit = ma_proc_limit(p->pid, "Max open files"), open = 0;
	snprintf(path, sizeof path, "/proc/%d/fd", (int)p->pid);
	DIR *directory = opendir(path);
	if (!directory) {
		report(check, MA_CHECK_SKIPPED, "%s: %s", path, strerror(errno));
		return;
	}
	for (struct dirent *entry; (entry = readdir(directory));)
		open += entry->d_name[0] != '.';
	closedir(directory);
	bool full = limit != UINT64_MAX && open + FDS_NEEDED > limit;
	report(check, full ? MA_CHECK_FAIL : MA_CHECK_OK, "%llu open%s", (unsigned long long)open,
	       full ? ", too few left for an attach" : "");
	if (full)
		advise(check, "sudo prlimit --pid %d --nofile=%llu", (int)p->pid,
		       (unsigned long long)open + 64);
}

static void check_target_proc(const struct patient *p, struct ma_check *check)
{
	const char *place;
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/root/", (int)p->pid);
	if (access(path, F_OK)) {
		report(check, MA_CHECK_SKIPPED, "%s: %s", path, strerror(errno));
		return;
	}
	if (!ma_hook_file_needed(p->pid)) {
		report(check, MA_CHECK_OK, "mounted");
		return;
	}
	place = ma_hook_file_place(p->pid);
	if (place) {
		report(check, MA_CHECK_OK,
		       "none; the hook's file lies in %s there while it is loaded", place);
		return;
	}
	refuse(check,
	       "none, and no directory for the hook's file that is writable and allows execution");
	advise(check, "sudo nsenter --target %d --mount mount -t proc proc /proc", (int)p->pid);
}

static void check_static_tls(const struct patient *p, struct ma_check *check)
{
	(void)p;
	report(check, MA_CHECK_SKIPPED,
	       "cannot be told from outside; when there is none left, the "
	       "build of the hook that needs none is used");
}

static void check_attached(const struct patient *p, struct ma_check *check)
{
	const struct ma_process *process = &p->view.process;
	if (!readable(p))
		report(check, MA_CHECK_SKIPPED, "its memory could not be read");
	else if (process->attached)
		report(check, MA_CHECK_OK, "attached, by memattach %s", process->attached_release);
	else if (process->thunks_left && p->view.thunks.content.state == MA_THUNKS_INSTALLED)
		report(check, MA_CHECK_OK,
		       "forked from an attached process: hooks are there, "
		       "switched off");
	else if (process->thunks_left && p->view.thunks.content.state == MA_THUNKS_LINGERING)
		report(check, MA_CHECK_OK,
		       "detached; the hook of memattach %s is still mapped, "
		       "switched off",
		       process->attached_release);
	else if (process->thunks_left)
		report(check, MA_CHECK_OK, "detached; 8 KiB of memattach %s are left",
		       process->attached_release);
	else
		report(check, MA_CHECK_OK, "never attached");
}

struct examination {
	const char *name;
	void (*run)(const struct patient *p, struct ma_check *check);
};

static const struct examination of_machine[] = {
	{"machine", check_machine}, {"pidfd", check_pidfd},
	{"/proc", check_proc},      {"our rights", check_own_rights},
	{"Yama", check_yama},       {"security module", check_security_module},
	{"memfd", check_memfd},
};

static const struct examination of_process[] = {
	{"process", check_exists},
	{"state", check_state},
	{"tracer", check_tracer},
	{"permission", check_permission},
	{"program", check_program},
	{"C library", check_libc},
	{"Python", check_python},
	{"seccomp", check_seccomp},
	{"shadow stack", check_shadow_stack},
	{"memory limit", check_headroom},
	{"address space", check_address_space},
	{"file descriptors", check_descriptors},
	{"/proc inside", check_target_proc},
	{"static TLS", check_static_tls},
	{"memattach", check_attached},
};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static int examine(const struct examination *list, size_t length, const struct patient *p,
		   struct ma_check *checks, int max)
{
	int done = 0;
	for (size_t i = 0; i < length && done < max; i++, done++) {
		checks[done] = (struct ma_check){.state = MA_CHECK_SKIPPED};
		snprintf(checks[done].name, sizeof checks[done].name, "%s", list[i].name);
		list[i].run(p, &checks[done]);
	}
	return done;
}

int ma_doctor(pid_t pid, struct ma_check *checks, int max)
{
	struct patient *p = calloc(1, sizeof *p);
	if (!p)
		return 0;
	p->pid = pid;
	ma_permission_facts_read(pid, &p->facts);
	if (ma_proc_status_read(getpid(), 0, &p->own, NULL))
		p->own.seccomp = -1;
	int done = examine(of_machine, LENGTH(of_machine), p, checks, max);
	if (pid) {
		p->view_code = ma_view_open(pid, &p->view, &p->view_error);
		/* Of a process that is not there, nothing else can be said. */
		size_t length = p->view_code == MA_ERR_NO_PROCESS ? 1 : LENGTH(of_process);
		done += examine(of_process, length, p, checks + done, max - done);
		ma_view_close(&p->view);
	}
	free(p);
	return done;
}
