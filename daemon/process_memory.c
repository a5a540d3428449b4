/* SPDX-License-Identifier: MIT */
/* Figures of a process from outside; see process_memory.h. */
#include "daemon/process_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/process_stat.h"
#include "daemon/proc_text.h"

/* A line of /proc/PID/status, in kB, and the figure that it is. */
struct line {
	const char *key;
	size_t offset;
};

static const struct line status_lines[] = {
	{"VmRSS:", offsetof(struct ma_memory_figures, rss_bytes)},
	{"RssAnon:", offsetof(struct ma_memory_figures, rss_anonymous_bytes)},
	{"RssFile:", offsetof(struct ma_memory_figures, rss_file_bytes)},
	{"RssShmem:", offsetof(struct ma_memory_figures, rss_shared_bytes)},
	{"VmHWM:", offsetof(struct ma_memory_figures, rss_peak_bytes)},
	{"VmSwap:", offsetof(struct ma_memory_figures, swap_bytes)},
	{"VmSize:", offsetof(struct ma_memory_figures, virtual_bytes)},
};

static int gone(struct ma_error *error, pid_t pid)
{
	int code = ma_error_set(error, MA_ERR_NO_PROCESS, 0, "reading the memory use of process %d",
				(int)pid);
	ma_error_answer(error, "there is no such process any more");
	return code;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Start time as CLOCK_REALTIME; the kernel counts it in ticks of CLOCK_BOOTTIME. */
static uint64_t start_time(uint64_t ticks)
{
	uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
	uint64_t age_base = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME);
	return age_base + ticks / per_second * 1000000000u +
	       ticks % per_second * 1000000000u / per_second;
}

/* Is the process that pidfd stands for not reaped yet? Then its PID is not another's. */
static bool still_there(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno != ESRCH;
}

int ma_process_memory_open(struct ma_process_memory *process, pid_t pid, int pidfd,
			   const char *root, struct ma_error *error)
{
	char path[128];
	memset(process, 0, sizeof *process);
	process->pid = pid;
	process->proc_fd = process->stat_fd = process->status_fd = -1;
	process->cgroup.vmstat_fd = -1;
	snprintf(process->root, sizeof process->root, "%s", root);
	snprintf(path, sizeof path, "%s/proc/%d", process->root, (int)pid);
	process->proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (process->proc_fd < 0)
		return errno == ENOENT
			       ? gone(error, pid)
			       : ma_error_set(error, MA_ERR_FAILED, errno, "opening %s", path);
	process->stat_fd = openat(process->proc_fd, "stat", O_RDONLY | O_CLOEXEC);
	process->status_fd = openat(process->proc_fd, "status", O_RDONLY | O_CLOEXEC);
	struct ma_process_stat stat;
	if (process->stat_fd < 0 || process->status_fd < 0 ||
	    ma_process_stat_read(process->stat_fd, &stat) != 0 ||
	    (pidfd >= 0 && !still_there(pidfd))) {
		ma_process_memory_close(process);
		return gone(error, pid);
	}
	process->start_time_ns = start_time(stat.start_ticks);
	ma_cgroup_open(&process->cgroup, process->proc_fd, process->root);
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd > 0)
		close(*fd);
	*fd = -1;
}

void ma_process_memory_close(struct ma_process_memory *process)
{
	close_fd(&process->proc_fd);
	close_fd(&process->stat_fd);
	close_fd(&process->status_fd);
	ma_cgroup_close(&process->cgroup);
}

static void read_pss(int proc_fd, struct ma_memory_figures *figures)
{
	char text[2048];
	uint64_t kib, clean = 0, dirty = 0;
	if (ma_proc_text_read_at(proc_fd, "smaps_rollup", text, sizeof text) <= 0)
		return;
	if (ma_proc_text_number(text, "Pss:", &kib))
		figures->pss_bytes = kib * 1024;
	if (ma_proc_text_number(text, "Private_Clean:", &clean) &&
	    ma_proc_text_number(text, "Private_Dirty:", &dirty))
		figures->uss_bytes = (clean + dirty) * 1024;
}

int ma_process_memory_read(struct ma_process_memory *process, unsigned ask,
			   struct ma_memory_figures *figures, struct ma_error *error)
{
	char status[8192];
	struct ma_process_stat stat;
	memset(figures, 0, sizeof *figures);
	if (ma_process_stat_read(process->stat_fd, &stat) != 0 ||
	    ma_proc_text_read(process->status_fd, status, sizeof status) <= 0)
		return gone(error, process->pid);
	figures->state = stat.state;
	figures->minor_faults = stat.minor_faults;
	figures->major_faults = stat.major_faults;
	figures->threads = (uint32_t)stat.threads;
	for (size_t i = 0; i < sizeof status_lines / sizeof status_lines[0]; i++) {
		uint64_t kib = 0;
		ma_proc_text_number(status, status_lines[i].key, &kib);
		kib *= 1024;
		memcpy((char *)figures + status_lines[i].offset, &kib, sizeof kib);
	}
	if (ask & MA_MEMORY_ASK_PSS)
		read_pss(process->proc_fd, figures);
	if (ask & MA_MEMORY_ASK_CGROUP && ma_cgroup_moved(&process->cgroup, process->proc_fd)) {
		ma_cgroup_close(&process->cgroup);
		ma_cgroup_open(&process->cgroup, process->proc_fd, process->root);
	}
	ma_cgroup_read(&process->cgroup, &figures->cgroup);
	return 0;
}
