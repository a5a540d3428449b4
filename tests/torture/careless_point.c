/* SPDX-License-Identifier: MIT */
/*
 * Negative control: attaches without care. Whatever thread comes first is taken, wherever it is,
 * and made to call dlopen itself. The torture must see this fail, or it would not see that care is
 * taken either. Linked over the real functions (ld --wrap) into a program of the tests only.
 */
#include <stdlib.h>

#include "inject/clock.h"
#include "inject/procfs.h"
#include "inject/safe_point.h"
#include "inject/session.h"
#include "inject/victim.h"

bool __wrap_ma_safe_point(const struct ma_safe_rules *rules, struct ma_unwinder *unwinder,
			  const struct ma_tracee *tracee, enum ma_need need, size_t frame_bytes,
			  char *why, size_t room);
int __wrap_ma_victim_rank(pid_t pid, unsigned int round, pid_t tids[MA_VICTIMS], int *count,
			  int *left_out, struct ma_error *error);
bool __wrap_ma_session_on_victim(const struct ma_session *session);

bool __wrap_ma_safe_point(const struct ma_safe_rules *rules, struct ma_unwinder *unwinder,
			  const struct ma_tracee *tracee, enum ma_need need, size_t frame_bytes,
			  char *why, size_t room)
{
	(void)rules;
	(void)unwinder;
	(void)tracee;
	(void)need;
	(void)frame_bytes;
	(void)why;
	(void)room;
	return true;
}

/* Any thread that runs, or else any thread. */
int __wrap_ma_victim_rank(pid_t pid, unsigned int round, pid_t tids[MA_VICTIMS], int *count,
			  int *left_out, struct ma_error *error)
{
	size_t threads;
	pid_t *all;
	int failed = ma_proc_tasks(pid, &all, &threads, error);

	*count = 0;
	*left_out = 0;
	if (failed)
		return failed;
	srandom((unsigned int)ma_clock_ns() + round);
	for (int tries = 0; tries < 200 && !*count; tries++) {
		pid_t tid = all[(size_t)random() % threads];
		struct ma_proc_syscall call;

		if (!ma_proc_syscall_read(pid, tid, &call, NULL) && (call.running || tries > 150))
			tids[(*count)++] = tid;
	}
	free(all);
	return 0;
}

bool __wrap_ma_session_on_victim(const struct ma_session *session)
{
	(void)session;
	return true;
}
