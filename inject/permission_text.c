/* SPDX-License-Identifier: MIT */
/*
 * The words for each reason why a process may not be traced, and the lines that help. One table: a
 * sentence, and a remedy for each place where we may be running.
 */
#include "inject/permission.h"

#include <stdio.h>
#include <string.h>

#define DOCKER_CAPABILITY                                                                          \
	"Docker: start the container with  --cap-add SYS_PTRACE  (compose: cap_add: [SYS_PTRACE])"
#define KUBERNETES_CAPABILITY                                                                      \
	"Kubernetes: securityContext: {capabilities: {add: [\"SYS_PTRACE\"]}}, or\n"               \
	"  kubectl debug POD -it --image=IMAGE --target=CONTAINER --profile=sysadmin"
#define SYSTEMD_CAPABILITY                                                                         \
	"systemd: AmbientCapabilities=CAP_SYS_PTRACE in the unit that runs memattach"
#define BY_SUDO "sudo memattach PID"

/* How a remedy is chosen. PID and UID stand for the process's. */
static const struct {
	const char *host;
	const char *container;
	const char *kubernetes;
} remedies[MA_DENIAL_COUNT] = {
	[MA_DENIAL_GONE] = {"`memattach ps` lists the Python processes here", NULL, NULL},
	[MA_DENIAL_ZOMBIE] = {"its parent must collect it; there is no memory left to look at",
			      NULL, NULL},
	[MA_DENIAL_SELF] = {"give the pid of another process", NULL, NULL},
	[MA_DENIAL_KERNEL_THREAD] = {"`memattach ps` lists the Python processes here", NULL, NULL},
	[MA_DENIAL_TRACED] = {"end or detach the tracer (gdb, strace, another profiler), then try "
			      "again",
			      NULL, NULL},
	[MA_DENIAL_OWN_SECCOMP] =
		{"run memattach outside the sandbox or service whose seccomp filter "
		 "forbids ptrace\n"
		 "systemd: SystemCallFilter=@debug in the unit that runs memattach",
		 DOCKER_CAPABILITY ",\n  which lets Docker's filter pass ptrace as well",
		 KUBERNETES_CAPABILITY},
	[MA_DENIAL_USER_NAMESPACE] =
		{"sudo memattach PID, in the host's user namespace; or enter the "
		 "target's:\n  sudo nsenter --user --target PID memattach PID",
		 "run memattach inside the container of the process:  docker exec "
		 "CONTAINER memattach PID",
		 "run memattach in the same container:  kubectl exec POD -c "
		 "CONTAINER -- memattach PID"},
	[MA_DENIAL_USER] = {BY_SUDO "   (or run it as the process's own user)\n" SYSTEMD_CAPABILITY,
			    DOCKER_CAPABILITY
			    "\n  or run memattach as the process's user:  docker exec -u UID ...",
			    KUBERNETES_CAPABILITY},
	[MA_DENIAL_CAPABILITIES] = {BY_SUDO "\n" SYSTEMD_CAPABILITY, DOCKER_CAPABILITY,
				    KUBERNETES_CAPABILITY},
	[MA_DENIAL_DUMPABLE] = {BY_SUDO "   (root may trace it all the same)", DOCKER_CAPABILITY,
				KUBERNETES_CAPABILITY},
	[MA_DENIAL_YAMA_CHILDREN] = {BY_SUDO
				     ", or for everybody until the next boot:\n  sudo sysctl "
				     "kernel.yama.ptrace_scope=0\n" SYSTEMD_CAPABILITY,
				     DOCKER_CAPABILITY
				     "\n  or on the host:  sudo sysctl kernel.yama.ptrace_scope=0",
				     KUBERNETES_CAPABILITY
				     "\nor on the node:  sysctl kernel.yama.ptrace_scope=0"},
	[MA_DENIAL_YAMA_ADMIN] =
		{BY_SUDO ", or\n  sudo sysctl kernel.yama.ptrace_scope=1  and run it as root "
			 "or the process's parent\n" SYSTEMD_CAPABILITY,
		 DOCKER_CAPABILITY, KUBERNETES_CAPABILITY},
	[MA_DENIAL_YAMA_OFF] = {"set kernel.yama.ptrace_scope to 1 in /etc/sysctl.d and reboot: 3 "
				"cannot be lowered while the system runs",
				NULL, NULL},
	[MA_DENIAL_LSM] =
		{"the kernel log says which rule:  sudo dmesg | grep -iE "
		 "'apparmor|avc|lsm'\nrun memattach unconfined, or allow ptrace in the "
		 "profile",
		 "Docker: --security-opt apparmor=unconfined on the container that runs "
		 "memattach, or run it\n  in the same container as the process",
		 "Kubernetes: appArmorProfile: {type: Unconfined} in the securityContext of "
		 "the container that runs memattach"},
};

static void describe_user(pid_t pid, const struct ma_permission_facts *facts, char *answer)
{
	if (facts->uid[1] != facts->our_uid)
		snprintf(answer, MA_DENIAL_ANSWER_BYTES,
			 "process %d belongs to uid %u, we are uid %u without CAP_SYS_PTRACE",
			 (int)pid, facts->uid[1], facts->our_uid);
	else
		snprintf(answer, MA_DENIAL_ANSWER_BYTES,
			 "process %d has other user or group ids than we (uid %u/%u/%u, gid "
			 "%u/%u/%u), and we lack CAP_SYS_PTRACE",
			 (int)pid, facts->uid[0], facts->uid[1], facts->uid[2], facts->gid[0],
			 facts->gid[1], facts->gid[2]);
}

static void describe_tracer(pid_t pid, const struct ma_permission_facts *facts, char *answer)
{
	if (facts->tracer)
		snprintf(answer, MA_DENIAL_ANSWER_BYTES,
			 "process %d is being traced by %s (pid %d), and there can be only one "
			 "tracer",
			 (int)pid, facts->tracer_name, (int)facts->tracer);
	else
		snprintf(answer, MA_DENIAL_ANSWER_BYTES,
			 "process %d is being traced by a process that we cannot see (in another "
			 "PID "
			 "namespace), or is just ending",
			 (int)pid);
}

static void describe_lsm(pid_t pid, const struct ma_permission_facts *facts, char *answer)
{
	if (facts->label[0] || facts->our_label[0])
		snprintf(answer, MA_DENIAL_ANSWER_BYTES,
			 "a security module forbids it: process %d runs as '%.50s', we as '%.50s'",
			 (int)pid, facts->label[0] ? facts->label : "unconfined",
			 facts->our_label[0] ? facts->our_label : "unconfined");
	else
		snprintf(answer, MA_DENIAL_ANSWER_BYTES,
			 "user, capabilities, dumpable flag and Yama allow it, yet the kernel "
			 "refuses "
			 "process %d: a security module",
			 (int)pid);
}

static void describe_cause(pid_t pid, enum ma_denial denial,
			   const struct ma_permission_facts *facts, char *answer)
{
	static const char *const fixed[MA_DENIAL_COUNT] = {
		[MA_DENIAL_NONE] = "tracing process %d is allowed",
		[MA_DENIAL_GONE] = "there is no process %d",
		[MA_DENIAL_ZOMBIE] = "process %d has ended and is a zombie",
		[MA_DENIAL_SELF] = "process %d is memattach itself",
		[MA_DENIAL_KERNEL_THREAD] = "process %d is a kernel thread",
		[MA_DENIAL_OWN_SECCOMP] = "a seccomp filter on memattach itself forbids ptrace "
					  "(process %d was not asked)",
		[MA_DENIAL_USER_NAMESPACE] =
			"process %d lives in another user namespace, where our "
			"capabilities do not count",
		[MA_DENIAL_CAPABILITIES] =
			"process %d holds capabilities that we do not have, and we "
			"lack CAP_SYS_PTRACE",
		[MA_DENIAL_DUMPABLE] =
			"process %d is marked not dumpable (set-uid, prctl, or its file "
			"is not readable), and we lack CAP_SYS_PTRACE",
		[MA_DENIAL_YAMA_CHILDREN] =
			"Yama (kernel.yama.ptrace_scope = 1) lets us trace our own "
			"children only, and process %d is none",
		[MA_DENIAL_YAMA_ADMIN] =
			"Yama (kernel.yama.ptrace_scope = 2) lets only CAP_SYS_PTRACE "
			"trace process %d",
		[MA_DENIAL_YAMA_OFF] =
			"Yama (kernel.yama.ptrace_scope = 3) forbids all tracing, of "
			"process %d too",
	};
	switch (denial) {
	case MA_DENIAL_USER:
		describe_user(pid, facts, answer);
		break;
	case MA_DENIAL_TRACED:
		describe_tracer(pid, facts, answer);
		break;
	case MA_DENIAL_LSM:
		describe_lsm(pid, facts, answer);
		break;
	default:
		snprintf(answer, MA_DENIAL_ANSWER_BYTES, fixed[denial], (int)pid);
		break;
	}
}

/* Copies a remedy, with the process's ids in place of the words PID and UID. */
static void write_remedy(const char *text, pid_t pid, uid_t uid, char *remedy)
{
	size_t used = 0;
	while (*text && used + 16 < MA_DENIAL_REMEDY_BYTES) {
		bool is_pid = strncmp(text, "PID", 3) == 0, is_uid = strncmp(text, "UID", 3) == 0;
		if (!is_pid && !is_uid) {
			remedy[used++] = *text++;
			continue;
		}
		used += (size_t)snprintf(remedy + used, MA_DENIAL_REMEDY_BYTES - used, "%u",
					 is_pid ? (unsigned)pid : uid);
		text += 3;
	}
	remedy[used] = '\0';
}

void ma_permission_describe(pid_t pid, enum ma_denial denial,
			    const struct ma_permission_facts *facts,
			    char answer[MA_DENIAL_ANSWER_BYTES],
			    char remedy[MA_DENIAL_REMEDY_BYTES])
{
	describe_cause(pid, denial, facts, answer);
	const char *text = remedies[denial].host;
	if (facts->surroundings == MA_IN_CONTAINER && remedies[denial].container)
		text = remedies[denial].container;
	if (facts->surroundings == MA_IN_KUBERNETES && remedies[denial].kubernetes)
		text = remedies[denial].kubernetes;
	write_remedy(text ? text : "", pid, facts->uid[1], remedy);
}
