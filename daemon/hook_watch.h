/* SPDX-License-Identifier: MIT */
/*
 * Is the hook still where it was put? A pidfd says nothing of an exec, and nobody says when another
 * tool puts its own functions into Python's allocator tables (tracemalloc.stop() puts back those of
 * before our attach). So the daemon looks now and then, by process_vm_readv, at the head of the
 * thunk page and at the tables.
 */
#ifndef MA_DAEMON_HOOK_WATCH_H
#define MA_DAEMON_HOOK_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/area.h"

enum ma_hook_presence {
	MA_HOOK_PRESENT,
	MA_HOOK_UNKNOWN,    /* we may not look */
	MA_HOOK_REMOVED,    /* the thunk page is there, but says that no hook is installed */
	MA_HOOK_TAKEN_OVER, /* a hook is installed, but it is that of a later attach */
	MA_HOOK_EXECED,     /* the memory is that of another program */
};

enum { MA_WATCH_COOKIE_BYTES = 16, MA_WATCH_TABLES = 2 };

struct ma_hook_watch {
	pid_t pid;
	uint64_t area_address;
	uint64_t attach_tsc; /* tells our area from a later one's */
	uint64_t thunk_code;
	uint64_t thunk_data;
	uint64_t table[MA_WATCH_TABLES]; /* OBJ, MEM; 0 = not hooked */
	bool table_ours[MA_WATCH_TABLES];
	bool cookie_known;
	bool area_known;                       /* what is mapped there was seen to be ours */
	uint8_t cookie[MA_WATCH_COOKIE_BYTES]; /* head of the thunk page's data at the start */
};

/* Notes how things are now, while the hook is known to be in place. Daemon loop, as all here. */
void ma_hook_watch_init(struct ma_hook_watch *watch, pid_t pid, const struct ma_area_ident *ident);

/* Looks at the thunk page; proc_fd (borrowed) is /proc/PID. */
enum ma_hook_presence ma_hook_watch_look(const struct ma_hook_watch *watch, int proc_fd);

/* Looks at the allocator tables. A bit per table (1 OBJ, 2 MEM): those that held our thunks when
 * last looked at and do not now; *back: those that do again. */
unsigned ma_hook_watch_tables(struct ma_hook_watch *watch, unsigned *back);

#endif
