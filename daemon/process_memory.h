/* SPDX-License-Identifier: MIT */
/*
 * What a process uses, seen from outside through /proc and the cgroup file systems: the figures of
 * the timeline and of the summary's head. Opened once per target; its files stay open, so that one
 * reading is a handful of preads and can never be of another process that got the same PID.
 */
#ifndef MA_DAEMON_PROCESS_MEMORY_H
#define MA_DAEMON_PROCESS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/cgroup.h"
#include "proto/error.h"

/* Open files of a process. */
struct ma_process_memory {
	pid_t pid;
	uint64_t start_time_ns; /* CLOCK_REALTIME */
	int proc_fd;            /* /proc/PID, a directory */
	int stat_fd;
	int status_fd;
	struct ma_cgroup cgroup;
	char root[64]; /* prefix of absolute paths, empty outside of tests */
};

/* Figures of one reading. Bytes unless the name says otherwise. */
struct ma_memory_figures {
	uint64_t rss_bytes;
	uint64_t rss_anonymous_bytes;
	uint64_t rss_file_bytes;
	uint64_t rss_shared_bytes; /* shared memory: memfd, tmpfs, MAP_SHARED|MAP_ANONYMOUS */
	uint64_t rss_peak_bytes;
	uint64_t swap_bytes;
	uint64_t virtual_bytes;
	uint64_t pss_bytes; /* 0: not asked for, or not permitted */
	uint64_t uss_bytes; /* private clean + private dirty; 0 as above */
	uint64_t minor_faults;
	uint64_t major_faults;
	uint32_t threads;
	char state; /* of /proc/PID/stat: R S D T t Z X */
	struct ma_cgroup_figures cgroup;
};

enum ma_memory_ask {
	MA_MEMORY_ASK_PSS = 1,    /* walks the target's page tables: milliseconds per GiB */
	MA_MEMORY_ASK_CGROUP = 2, /* look whether the process has moved to another cgroup */
};

/*
 * Opens the files of the process that pidfd (borrowed; -1: trust the pid) stands for. root is "",
 * or in tests a directory with a proc/ and a sys/ of its own. Errors: MA_ERR_NO_PROCESS. The caller
 * closes. Daemon.
 */
int ma_process_memory_open(struct ma_process_memory *process, pid_t pid, int pidfd,
			   const char *root, struct ma_error *error);

/* Closes what is open; zeroed is accepted, and so is a second call. */
void ma_process_memory_close(struct ma_process_memory *process);

/*
 * Takes one reading; ask is a combination of enum ma_memory_ask, 0 for the cheap one (some tens of
 * microseconds). A zombie has figures of 0. Errors: MA_ERR_NO_PROCESS when it is gone (*figures is
 * zeroed). Daemon.
 */
int ma_process_memory_read(struct ma_process_memory *process, unsigned ask,
			   struct ma_memory_figures *figures, struct ma_error *error);

#endif
