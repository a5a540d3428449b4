/* SPDX-License-Identifier: MIT */
/*
 * Is there room for us? Our shared memory may be charged to the target's memory cgroup, and must
 * not be the straw that breaks it. cgroup v2 (memory.max) and v1 (memory.limit_in_bytes), every
 * level up to the root of what we can see.
 */
#ifndef MA_INJECT_HEADROOM_H
#define MA_INJECT_HEADROOM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

#define MA_HEADROOM_SAMPLED_BYTES (UINT64_C(32) << 20)
#define MA_HEADROOM_EXACT_BYTES   (UINT64_C(128) << 20)

struct ma_headroom {
	bool limited;         /* some level has a limit */
	uint64_t limit_bytes; /* of the level with the least room */
	uint64_t used_bytes;  /* there, without page cache that can be dropped at once */
	uint64_t free_bytes;  /* limit - used; UINT64_MAX when not limited */
	char cgroup[256];     /* that level, as /proc/PID/cgroup names it */
};

/* Reads the figures; not limited when nothing can be read. */
void ma_headroom_read(pid_t pid, struct ma_headroom *headroom);

/* The same below another directory than /sys/fs/cgroup, from the text of /proc/PID/cgroup. */
void ma_headroom_from(const char *cgroup_text, const char *mount, struct ma_headroom *headroom);

/* 0, or MA_ERR_UNSAFE with the figures and "--force". */
int ma_headroom_check(pid_t pid, uint64_t need_bytes, struct ma_headroom *headroom,
		      struct ma_error *error);

#endif
