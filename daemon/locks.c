/* SPDX-License-Identifier: MIT */
/* See locks.h. */
#include "daemon/locks.h"

static int find(const struct ma_locks *locks, pid_t pid)
{
	for (int i = 0; i < locks->count; i++) {
		if (locks->held[i].pid == pid)
			return i;
	}
	return -1;
}

bool ma_locks_take(struct ma_locks *locks, pid_t pid, uint64_t owner)
{
	int at = find(locks, pid);
	if (at >= 0)
		return locks->held[at].owner == owner;
	if (locks->count == MA_LOCKS)
		return false;
	locks->held[locks->count++] = (struct ma_lock){.pid = pid, .owner = owner};
	return true;
}

uint64_t ma_locks_owner(const struct ma_locks *locks, pid_t pid)
{
	int at = find(locks, pid);
	return at >= 0 ? locks->held[at].owner : 0;
}

static void drop(struct ma_locks *locks, int at)
{
	locks->held[at] = locks->held[--locks->count];
}

void ma_locks_give(struct ma_locks *locks, pid_t pid, uint64_t owner)
{
	int at = find(locks, pid);
	if (at >= 0 && locks->held[at].owner == owner)
		drop(locks, at);
}

pid_t ma_locks_give_next(struct ma_locks *locks, uint64_t owner)
{
	for (int i = 0; i < locks->count; i++) {
		if (locks->held[i].owner != owner)
			continue;
		pid_t pid = locks->held[i].pid;
		drop(locks, i);
		return pid;
	}
	return 0;
}
