/* SPDX-License-Identifier: MIT */
/* The memory limit that holds for a process: the smallest of its cgroups'. */
#ifndef MA_CLI_PROCESS_LIMIT_H
#define MA_CLI_PROCESS_LIMIT_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes, 0 = none that can be seen. cgroup version 2 and 1. */
uint64_t ma_process_limit_bytes(pid_t pid);

#endif
