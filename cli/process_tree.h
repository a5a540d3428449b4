/* SPDX-License-Identifier: MIT */
/* Processes and their parents, as far as /proc shows them: names, memory, children. */
#ifndef MA_CLI_PROCESS_TREE_H
#define MA_CLI_PROCESS_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ma_process_entry {
	pid_t pid;
	pid_t parent;
	char state;    /* of /proc/PID/stat */
	char name[32]; /* comm, 15 bytes at most */
	uint64_t rss_bytes;
};

/* Reads one process. 0, or -1 when it is not there (or not to be seen). */
int ma_process_entry_read(pid_t pid, struct ma_process_entry *entry);

/* Every process that can be seen. *entries is returned-owned; returns how many. */
size_t ma_process_tree_read(struct ma_process_entry **entries);

/* The descendants of root among the entries, parents before children, root left out. *pids is
 * returned-owned; returns how many. */
size_t ma_process_tree_below(const struct ma_process_entry *entries, size_t count, pid_t root,
			     pid_t **pids);

#endif
