/* SPDX-License-Identifier: MIT */
#include "inject/victim.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "inject/interrupted.h"
#include "inject/procfs.h"

enum {
	LOOKED_AT = 96, /* threads looked at in one round */
	ENOUGH = 4,     /* of the best rank: no need to look further */
};

enum rank { RANK_WAITS, RANK_SOCKET, RANK_RUNNING, RANK_OTHER, RANK_EINTR, RANK_NEVER };

/* Where Python threads wait most of the time, and that the kernel restarts. */
static const int64_t restarted_calls[] = {
	SYS_poll,  SYS_ppoll, SYS_select, SYS_pselect6, SYS_nanosleep, SYS_clock_nanosleep,
	SYS_futex, SYS_read,  SYS_wait4,  SYS_waitid,   SYS_pause};

struct candidate {
	pid_t tid;
	enum rank rank;
	int order;
};

static enum rank rank_syscall(const struct ma_proc_syscall *call)
{
	if (call->running)
		return RANK_RUNNING;
	if (call->number == SYS_vfork || call->number == SYS_clone ||
	    call->number == 435 /* clone3 */)
		return RANK_NEVER;
	if (ma_interrupted_by_stop(call->number))
		return RANK_EINTR;
	if (call->number != SYS_read && ma_interrupted_perhaps(call->number))
		return RANK_SOCKET;
	for (size_t i = 0; i < sizeof(restarted_calls) / sizeof(restarted_calls[0]); i++)
		if (restarted_calls[i] == call->number)
			return RANK_WAITS;
	return RANK_OTHER;
}

static enum rank rank_thread(pid_t pid, pid_t tid)
{
	struct ma_proc_syscall call;
	struct ma_proc_stat stat;

	if (ma_proc_syscall_read(pid, tid, &call, NULL))
		call = (struct ma_proc_syscall){.running = true};
	/* D: uninterruptible, Z and X: ended. A worker of io_uring never runs code of the program.
	 */
	if (ma_proc_stat_read(pid, tid, &stat, NULL) || strchr("DZXxI", stat.state) ||
	    !strncmp(stat.comm, "iou-", 4))
		return RANK_NEVER;
	return rank_syscall(&call);
}

static int by_rank(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

int ma_victim_rank(pid_t pid, unsigned int round, pid_t tids[MA_VICTIMS], int *count, int *left_out,
		   struct ma_error *error)
{
	struct candidate candidates[LOOKED_AT];
	pid_t *all;
	size_t threads;
	int found = 0;
	int best = 0;
	int failed = ma_proc_tasks(pid, &all, &threads, error);

	*count = 0;
	*left_out = 0;
	if (failed)
		return failed;
	for (size_t i = 0; i < threads && found < LOOKED_AT && best < ENOUGH; i++) {
		/* Start elsewhere each round; an odd step reaches every thread in time. */
		pid_t tid = all[(i + round * 17) % threads];
		enum rank rank = rank_thread(pid, tid);

		if (rank == RANK_NEVER) {
			(*left_out)++;
			continue;
		}
		best += rank == RANK_WAITS;
		/* Among equals the first thread: it has libc's main arena, while another that never
		 * allocated would be given one of its own by what we call. */
		candidates[found] = (struct candidate){tid, rank, tid == pid ? -1 : found};
		found++;
	}
	free(all);
	qsort(candidates, (size_t)found, sizeof(candidates[0]), by_rank);
	for (int i = 0; i < found && i < MA_VICTIMS; i++)
		tids[(*count)++] = candidates[i].tid;
	return 0;
}
