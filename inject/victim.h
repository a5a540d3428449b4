/* SPDX-License-Identifier: MIT */
/*
 * Which thread to stop first. Threads that sleep in a call that the kernel restarts come before
 * running ones, those whose call would end with EINTR last; a thread in uninterruptible sleep, a
 * vfork parent above all, would not answer and is left out.
 */
#ifndef MA_INJECT_VICTIM_H
#define MA_INJECT_VICTIM_H

#include <stddef.h>
#include <sys/types.h>

#include "proto/error.h"

enum { MA_VICTIMS = 16 }; /* candidates of one round */

/*
 * Fills tids with up to MA_VICTIMS threads of pid, best first. `round` moves the choice on among
 * equals, so that no round asks the same threads again when there are others. *left_out: threads
 * that would not answer now. Returns 0, or MA_ERR_NO_PROCESS.
 */
int ma_victim_rank(pid_t pid, unsigned int round, pid_t tids[MA_VICTIMS], int *count, int *left_out,
		   struct ma_error *error);

#endif
