/* SPDX-License-Identifier: MIT */
/*
 * The process that does the tracing: a child of the caller in a session of its own, deaf to
 * signals, so that neither Ctrl-C nor the death of the caller reaches a target that is being worked
 * on. It sends its result and file descriptors back over a socket pair, and the caller reaps it.
 */
#ifndef MA_INJECT_GUARDIAN_H
#define MA_INJECT_GUARDIAN_H

#include <stddef.h>

#include "proto/error.h"

enum { MA_GUARDIAN_FDS = 3 };

struct ma_guardian_task {
	/* Runs in the guardian. Fills result, and fds (returned-owned; -1 = none). 0 or enum
	 * ma_err. */
	int (*work)(void *request, void *result, int fds[MA_GUARDIAN_FDS], struct ma_error *error);
	/* Runs in the guardian when work succeeded and the caller has gone away meanwhile: nobody
	 * will look after what was done. NULL = leave it. */
	void (*orphaned)(void *request);
	void *request; /* the guardian has a copy, as after fork */
	void *result;  /* received into */
	size_t result_bytes;
};

/*
 * Runs a task and waits for it. Returns what work returned, with result, error and fds (CLOEXEC,
 * returned-owned, -1 where there is none); MA_ERR_FAILED when the guardian could not be made or
 * died. CLI.
 */
int ma_guardian_run(const struct ma_guardian_task *task, int fds[MA_GUARDIAN_FDS],
		    struct ma_error *error);

#endif
