/* SPDX-License-Identifier: MIT */
/* /proc/PID/stat (proc(5)): the one line of numbers that needs care because of the name in it. */
#ifndef MA_DAEMON_PROCESS_STAT_H
#define MA_DAEMON_PROCESS_STAT_H

#include <stdint.h>

struct ma_process_stat {
	char state; /* R S D T t Z X */
	uint64_t minor_faults;
	uint64_t major_faults;
	uint64_t threads;
	uint64_t start_ticks; /* since boot, in units of sysconf(_SC_CLK_TCK) */
	int exit_code;        /* as waitpid's status; 0 as well where we may not know */
};

/* Parses the text of the file. 0, or -1 when it does not look like it. Any thread. */
int ma_process_stat_parse(const char *text, struct ma_process_stat *stat);

/* Reads and parses an open one. 0, or a negative errno: -ESRCH when the process is gone. */
int ma_process_stat_read(int fd, struct ma_process_stat *stat);

#endif
