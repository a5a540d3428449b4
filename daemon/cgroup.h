/* SPDX-License-Identifier: MIT */
/*
 * The memory cgroup that a process is in: how much it uses, what limits it, how many OOM kills it
 * has seen. Version 2, version 1 and both at once (cgroups(7)). Paths in /proc/PID/cgroup are
 * relative to the reader's cgroup namespace and to the root of the mount that shows them; what our
 * own mounts do not show is looked for through the target's (/proc/PID/root).
 */
#ifndef MA_DAEMON_CGROUP_H
#define MA_DAEMON_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

enum { MA_CGROUP_LEVELS = 16 }; /* from the process's own cgroup upwards; more are not looked at */

/* One level of the hierarchy. fds are -1 where the kernel has no such file. */
struct ma_cgroup_level {
	int use_fd;    /* memory.current or memory.usage_in_bytes */
	int limit_fd;  /* memory.max or memory.limit_in_bytes */
	int events_fd; /* memory.events or memory.oom_control */
	bool kills_known;
	uint64_t kills; /* OOM kills when last read */
};

/* An opened hierarchy. Zero-initialise before the first open. */
struct ma_cgroup {
	int version;     /* 2 or 1; 0: no memory controller was found for this process */
	char path[512];  /* as /proc/PID/cgroup names it */
	int level_count; /* level[0] is the process's own cgroup */
	struct ma_cgroup_level level[MA_CGROUP_LEVELS];
	uint64_t hidden_limit_bytes; /* version 1: set above what we can see; 0 = none */
	int vmstat_fd;               /* /proc/vmstat: OOM kills of the whole machine */
	bool system_kills_known;
	uint64_t system_kills;
};

/* Figures of one reading; bytes. */
struct ma_cgroup_figures {
	int version;              /* 0: nothing below is known */
	uint64_t use_bytes;       /* of the process's own cgroup; page cache included */
	uint64_t limit_bytes;     /* smallest limit from the own cgroup upwards; 0 = none */
	uint64_t limit_use_bytes; /* use of the cgroup that sets that limit */
	uint64_t headroom_bytes;  /* smallest limit - use of any level; UINT64_MAX = no limit */
	uint64_t oom_kills;       /* of the process's own cgroup */
	bool oom_kills_known;
};

/*
 * Finds the memory cgroup of the process whose /proc directory is proc_fd (borrowed) and opens its
 * files. root: prefix of every absolute path, "" outside of tests. Never fails: a process without a
 * memory cgroup has version 0. Close with ma_cgroup_close. Daemon.
 */
void ma_cgroup_open(struct ma_cgroup *cgroup, int proc_fd, const char *root);
void ma_cgroup_close(struct ma_cgroup *cgroup);

/* Has the process moved to another cgroup since ma_cgroup_open? Takes the kernel's cgroup lock. */
bool ma_cgroup_moved(const struct ma_cgroup *cgroup, int proc_fd);

/* Reads the figures, and notes the OOM kill counts for ma_cgroup_oom_rose. A few microseconds. */
void ma_cgroup_read(struct ma_cgroup *cgroup, struct ma_cgroup_figures *figures);

/*
 * Has an OOM kill been counted since the last ma_cgroup_read? Asks the process's own cgroup, else
 * (it is gone already) the nearest one above it, else the machine. Fills from and to, and whose
 * count it is ("the cgroup's"). Does not change what was noted.
 */
bool ma_cgroup_oom_rose(const struct ma_cgroup *cgroup, uint64_t *from, uint64_t *to,
			const char **whose);

#endif
