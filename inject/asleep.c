/* SPDX-License-Identifier: MIT */
/* proc_pid_syscall() and proc_pid_schedstat() of fs/proc/base.c; get_robust_list(2). */
#include "inject/asleep.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/interrupted.h"
#include "inject/procfs.h"

/* Reads one of a thread's files into text. Returns its length, 0 when that is impossible or does
 * not fit. */
static size_t read_text(pid_t pid, pid_t tid, const char *name, char *text, size_t room)
{
	char path[64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, room - 1);
	close(fd);
	if (got <= 0 || (size_t)got == room - 1)
		return 0;
	text[got] = '\0';
	return (size_t)got;
}

/* A kernel that does not count says "0 0 0". */
static bool read_runs(pid_t pid, pid_t tid, char *text, size_t room)
{
	unsigned long long ran_ns, waited_ns, runs;

	return read_text(pid, tid, "schedstat", text, room) &&
	       sscanf(text, "%llu %llu %llu", &ran_ns, &waited_ns, &runs) == 3 && runs;
}

bool ma_asleep_look(pid_t pid, pid_t tid, struct ma_asleep *asleep)
{
	struct ma_proc_syscall call;
	void *head = NULL;
	size_t bytes;

	asleep->pid = pid;
	asleep->tid = tid;
	if (!read_runs(pid, tid, asleep->runs, sizeof(asleep->runs)))
		return false;
	bytes = read_text(pid, tid, "syscall", asleep->call, sizeof(asleep->call));
	if (!bytes || ma_proc_syscall_parse(asleep->call, bytes, &call, NULL) || call.running ||
	    !ma_interrupted_perhaps(call.number))
		return false;
	if (syscall(SYS_get_robust_list, tid, &head, &bytes) || !head)
		return false;
	asleep->sp = call.sp;
	asleep->pc = call.pc;
	asleep->control_block = (uint64_t)(uintptr_t)head;
	return true;
}

bool ma_asleep_still(const struct ma_asleep *asleep)
{
	char text[sizeof(asleep->call)];

	return read_text(asleep->pid, asleep->tid, "syscall", text, sizeof(text)) &&
	       !strcmp(text, asleep->call) &&
	       read_runs(asleep->pid, asleep->tid, text, sizeof(asleep->runs)) &&
	       !strcmp(text, asleep->runs);
}
