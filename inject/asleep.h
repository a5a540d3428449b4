/* SPDX-License-Identifier: MIT */
/*
 * Threads that sleep in a system call which a stop would end with EINTR, or make start over with
 * its whole time limit (interrupted.h): looked at from outside, without stopping them. What /proc
 * shows of a sleeping thread (its stack pointer, how often it has run) cannot change without it
 * having run, so its stack may be read in between.
 */
#ifndef MA_INJECT_ASLEEP_H
#define MA_INJECT_ASLEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ma_asleep {
	pid_t pid;
	pid_t tid;
	uint64_t sp;
	uint64_t pc;
	uint64_t control_block; /* an address within it (the list of robust mutexes) */
	char call[256];         /* what /proc said */
	char runs[96];
};

/* Is it asleep in such a call? Fills *asleep then. False also when it cannot be told. */
bool ma_asleep_look(pid_t pid, pid_t tid, struct ma_asleep *asleep);

/* Has it not run for an instant since then? */
bool ma_asleep_still(const struct ma_asleep *asleep);

#endif
