/* SPDX-License-Identifier: MIT */
/*
 * How a process ended that is not our child. Nothing here waits, and nothing takes the exit status
 * away from the parent. Sources, best first: PIDFD_GET_INFO with PIDFD_INFO_EXIT (Linux 6.15, once
 * the parent has reaped it), exit_code in /proc/PID/stat (while it is a zombie, if we may look),
 * nothing. Whether it was an OOM kill follows from the OOM kill counts (daemon/cgroup.h).
 */
#ifndef MA_DAEMON_PROCESS_END_H
#define MA_DAEMON_PROCESS_END_H

#include <stdbool.h>

#include "daemon/process_memory.h"

/* Values as in memattach.End.How (proto/profile.proto), but for RUNNING. */
enum ma_end_how {
	MA_END_UNKNOWN = 0,
	MA_END_EXITED = 1,
	MA_END_SIGNALED = 2,
	MA_END_RUNNING = 100, /* it has not ended */
};

struct ma_process_end {
	enum ma_end_how how;
	int code;           /* EXITED */
	int signal;         /* SIGNALED */
	bool core_dumped;   /* SIGNALED */
	bool oom_killed;    /* SIGNALED by SIGKILL, and an OOM kill count rose at that moment */
	char sentence[160]; /* "killed by SIGKILL", "exited with code 3", "ended, how is not known"
			     */
};

/*
 * Finds out how the process behind pidfd ended; call it as soon as the pidfd polls readable,
 * because before Linux 6.15 the answer vanishes when the parent reaps. process (borrowed) is the
 * same one's open files, NULL = none: then no zombie can be read and no OOM kill seen. The OOM
 * counts compared are those of the last ma_process_memory_read. Never fails; threads that outlive
 * their main thread count as running. Daemon.
 */
void ma_process_end_read(int pidfd, const struct ma_process_memory *process,
			 struct ma_process_end *end);

/* "SIGKILL" for 9, "signal 70" for what has no name. text is of at least 16 bytes. Any thread. */
const char *ma_signal_name(int signal, char text[16]);

#endif
