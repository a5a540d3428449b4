/* SPDX-License-Identifier: MIT */
/* How somebody else's child ended; see process_end.h. */
#include "daemon/process_end.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "daemon/process_stat.h"

/* linux/pidfd.h of Linux 6.15, written down because older headers lack it. */
struct pidfd_exit_info {
	uint64_t mask;
	uint64_t cgroup_id;
	uint32_t ids[11];
	int32_t exit_code;
};
_Static_assert(sizeof(struct pidfd_exit_info) == 64, "PIDFD_INFO_SIZE_VER0");
#define GET_INFO  _IOWR(0xff, 11, struct pidfd_exit_info)
#define INFO_EXIT (UINT64_C(1) << 3)

enum { STATUS_SIGNAL = 0x7f, STATUS_CORE = 0x80, STATUS_CODE_SHIFT = 8 };

/* Every signal that ends a process unless it is handled (signal(7)). */
static const struct {
	int number;
	const char *name;
} signals[] = {
	{SIGHUP, "SIGHUP"},   {SIGINT, "SIGINT"},   {SIGQUIT, "SIGQUIT"}, {SIGILL, "SIGILL"},
	{SIGTRAP, "SIGTRAP"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},
	{SIGKILL, "SIGKILL"}, {SIGUSR1, "SIGUSR1"}, {SIGSEGV, "SIGSEGV"}, {SIGUSR2, "SIGUSR2"},
	{SIGPIPE, "SIGPIPE"}, {SIGALRM, "SIGALRM"}, {SIGTERM, "SIGTERM"}, {SIGSTKFLT, "SIGSTKFLT"},
	{SIGXCPU, "SIGXCPU"}, {SIGXFSZ, "SIGXFSZ"}, {SIGPROF, "SIGPROF"}, {SIGVTALRM, "SIGVTALRM"},
	{SIGIO, "SIGIO"},     {SIGPWR, "SIGPWR"},   {SIGSYS, "SIGSYS"},
};

const char *ma_signal_name(int signal, char text[16])
{
	for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
		if (signals[i].number == signal) {
			snprintf(text, 16, "%s", signals[i].name);
			return text;
		}
	snprintf(text, 16, "signal %d", signal);
	return text;
}

static bool has_ended(int pidfd)
{
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};
	int ready;
	do {
		ready = poll(&poller, 1, 0);
	} while (ready < 0 && errno == EINTR);
	return ready > 0 && poller.revents & (POLLIN | POLLHUP);
}

/* What the kernel kept of a process that was reaped. */
static bool status_of_reaped(int pidfd, int *status)
{
	struct pidfd_exit_info info = {.mask = INFO_EXIT};
	if (ioctl(pidfd, GET_INFO, &info) < 0 || !(info.mask & INFO_EXIT))
		return false;
	*status = info.exit_code;
	return true;
}

/*
 * The kernel shows exit_code as 0 to those who may not look, which would read as a clean exit. The
 * same permission guards /proc/PID/exe: a zombie has none (ENOENT), a stranger is sent away.
 */
static bool may_look(int proc_fd)
{
	char target[2];
	return readlinkat(proc_fd, "exe", target, sizeof target) >= 0 || errno == ENOENT;
}

static bool status_of_zombie(const struct ma_process_memory *process, int *status)
{
	struct ma_process_stat stat;
	if (!may_look(process->proc_fd) || ma_process_stat_read(process->stat_fd, &stat) != 0)
		return false;
	if (stat.state != 'Z' && stat.state != 'X')
		return false;
	*status = stat.exit_code;
	return true;
}

static void decode(int status, struct ma_process_end *end)
{
	if (status & STATUS_SIGNAL) {
		end->how = MA_END_SIGNALED;
		end->signal = status & STATUS_SIGNAL;
		end->core_dumped = (status & STATUS_CORE) != 0;
	} else {
		end->how = MA_END_EXITED;
		end->code = status >> STATUS_CODE_SHIFT & 0xff;
	}
}

static void tell(struct ma_process_end *end, const char *kills)
{
	char name[16];
	char *sentence = end->sentence;
	size_t room = sizeof end->sentence;
	switch (end->how) {
	case MA_END_RUNNING:
		snprintf(sentence, room, "it still runs");
		break;
	case MA_END_EXITED:
		snprintf(sentence, room, "exited with code %d", end->code);
		break;
	case MA_END_SIGNALED:
		ma_signal_name(end->signal, name);
		if (end->oom_killed)
			snprintf(sentence, room, "killed by %s (out of memory: %s)", name, kills);
		else
			snprintf(sentence, room, "killed by %s%s", name,
				 end->core_dumped ? ", core dumped" : "");
		break;
	case MA_END_UNKNOWN:
		snprintf(sentence, room, "ended, how is not known%s%s%s", kills[0] ? " (" : "",
			 kills, kills[0] ? ")" : "");
		break;
	}
}

void ma_process_end_read(int pidfd, const struct ma_process_memory *process,
			 struct ma_process_end *end)
{
	char kills[100] = "";
	uint64_t from, to;
	const char *whose;
	int status;
	memset(end, 0, sizeof *end);
	if (!has_ended(pidfd)) {
		end->how = MA_END_RUNNING;
		tell(end, kills);
		return;
	}
	/* The parent may reap it between the two: ask for what lasts again afterwards. */
	if (status_of_reaped(pidfd, &status) || (process && status_of_zombie(process, &status)) ||
	    status_of_reaped(pidfd, &status))
		decode(status, end);
	if (process && (end->how == MA_END_UNKNOWN || end->signal == SIGKILL) &&
	    ma_cgroup_oom_rose(&process->cgroup, &from, &to, &whose)) {
		snprintf(kills, sizeof kills, "%s OOM kill count rose from %llu to %llu", whose,
			 (unsigned long long)from, (unsigned long long)to);
		end->oom_killed = end->signal == SIGKILL;
	}
	tell(end, kills);
}
