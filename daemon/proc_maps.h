/* SPDX-License-Identifier: MIT */
/* /proc/PID/maps (proc(5)), read whole. */
#ifndef MA_DAEMON_PROC_MAPS_H
#define MA_DAEMON_PROC_MAPS_H

#include <stdbool.h>
#include <stdint.h>

/* The text of proc_fd's maps, NUL-terminated, returned-owned; NULL when it cannot be read, is empty
 * (the process has no memory any more), or is larger than 16 MiB. Daemon loop. */
char *ma_proc_maps_read(int proc_fd);

/* Does a mapping that starts at this address have a name that contains `name`? */
bool ma_proc_maps_has(const char *text, uint64_t start, const char *name);

#endif
