/* SPDX-License-Identifier: MIT */
/*
 * Who attaches to or detaches from a process right now. A lock belongs to the connection that asked
 * for it, and goes with it, so that a CLI that dies blocks nobody.
 */
#ifndef MA_DAEMON_LOCKS_H
#define MA_DAEMON_LOCKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { MA_LOCKS = 256 };

struct ma_lock {
	pid_t pid;
	uint64_t owner; /* id of the connection */
};

/* Zero-initialise, then use. Daemon loop. */
struct ma_locks {
	struct ma_lock held[MA_LOCKS];
	int count;
};

/* Takes the lock of pid for owner; true also when owner has it already. */
bool ma_locks_take(struct ma_locks *locks, pid_t pid, uint64_t owner);

/* Who has it; 0 = nobody. */
uint64_t ma_locks_owner(const struct ma_locks *locks, pid_t pid);

/* Gives it back, if owner has it. */
void ma_locks_give(struct ma_locks *locks, pid_t pid, uint64_t owner);

/* Gives back one of owner's locks and returns whose it was; 0 when there is none left. */
pid_t ma_locks_give_next(struct ma_locks *locks, uint64_t owner);

#endif
