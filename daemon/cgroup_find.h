/* SPDX-License-Identifier: MIT */
/*
 * Finding the directory of a process's memory cgroup: from /proc/PID/cgroup (which hierarchy, which
 * path) and mountinfo (where that hierarchy is mounted, and which part of it). Inside daemon/ only.
 */
#ifndef MA_DAEMON_CGROUP_FIND_H
#define MA_DAEMON_CGROUP_FIND_H

#include <stddef.h>

enum { MA_CGROUP_DEPTH = 48 }; /* deeper cgroups are not found */

/*
 * Which hierarchy accounts the memory of a process, from the text of its cgroup file: returns 1 or
 * 2 and the path in it, or 0.
 */
int ma_cgroup_parse(const char *text, char *path, size_t room);

/*
 * Opens the directories from the mount's root (first) down to the process's cgroup (last) of
 * `path` in the hierarchy of that version; the fds are returned-owned. Returns how many, 0 = the
 * cgroup is not to be seen from here. root as in ma_cgroup_open.
 */
int ma_cgroup_find(int proc_fd, const char *root, int version, const char *path,
		   int fds[MA_CGROUP_DEPTH]);

#endif
