/* SPDX-License-Identifier: MIT */
/*
 * Who is behind a thread slot: the name of the thread whose id the hook stored there. Ids are those
 * of the target's own PID namespace; /proc shows ours, so they are matched through NSpid of
 * /proc/PID/task/T/status. A name is kept when its thread is gone.
 */
#ifndef MA_DAEMON_THREADS_H
#define MA_DAEMON_THREADS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

enum { MA_THREAD_NAME_BYTES = 72 };

struct ma_thread_name {
	uint32_t tid;                    /* in the target's namespace; 0 = slot not taken */
	char name[MA_THREAD_NAME_BYTES]; /* valid UTF-8; empty = never seen */
};

/* Zero-initialise, then use. */
struct ma_threads {
	struct ma_thread_name slots[MA_THREAD_SLOTS];
};

/* Reads the slots and looks up names: of new threads, and with all_again of all. proc_fd (borrowed)
 * is /proc/PID. At most some thousand threads are looked at. Daemon loop. */
void ma_threads_refresh(struct ma_threads *threads, const struct ma_area *area, int proc_fd,
			bool all_again);

/* Does the process still have a thread with this id (of its own namespace)? Says yes when that
 * cannot be found out. */
bool ma_threads_is_alive(int proc_fd, uint32_t tid);

#endif
