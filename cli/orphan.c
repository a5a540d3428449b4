/* SPDX-License-Identifier: MIT */
/* Who adopts orphans; see orphan.h. */
#include "cli/orphan.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/process_tree.h"

/* Inode of the initial PID namespace: PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h. */
static const ino_t initial_namespace = 0xEFFFFFFC;

bool ma_orphan_is_init(const char *name)
{
	static const char *const names[] = {
		/* reap whatever comes */
		"systemd", "init", "tini", "tini-static", "dumb-init", "docker-init", "catatonit",
		"s6-svscan", "runit", "runit-init", "runsvdir", "openrc-init", "busybox", "pid1",
		"my_init", "procd", "sinit", "dinit", "minit", "shepherd", "podman-init", "conmon",
		/* wait for nobody, or for nobody in particular */
		"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "sleep", "tail", "pause", "cat",
		"sshd", "bwrap", "unshare"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool is_target(pid_t pid, const pid_t *targets, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (targets[i] == pid)
			return true;
	return false;
}

bool ma_orphan_allowed(const pid_t *targets, size_t count, char *why, size_t room)
{
	struct ma_process_entry entry;
	struct stat namespace;
	/* Bounded: a chain of parents that changes under our eyes could otherwise go on. */
	pid_t pid = getppid();
	for (int depth = 0; depth < 64 && pid > 1; depth++) {
		if (is_target(pid, targets, count)) {
			snprintf(why, room, "memattach was started by process %d", (int)pid);
			return false;
		}
		if (ma_process_entry_read(pid, &entry))
			break;
		pid = entry.parent;
	}
	if (is_target(1, targets, count)) {
		snprintf(why, room, "the process is PID 1 of its container");
		return false;
	}
	if (stat("/proc/self/ns/pid", &namespace) == 0 && namespace.st_ino == initial_namespace)
		return true;
	if (ma_process_entry_read(1, &entry)) {
		snprintf(why, room, "it cannot be seen what PID 1 is here");
		return false;
	}
	if (!ma_orphan_is_init(entry.name)) {
		snprintf(why, room, "PID 1 here is %s, which is no init", entry.name);
		return false;
	}
	return true;
}
