/* SPDX-License-Identifier: MIT */
/* From the PIDs of the command line to the processes that are meant. */
#ifndef MA_CLI_TARGETS_H
#define MA_CLI_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "inject/attach.h"
#include "proto/error.h"

/* A process that a command is about. */
struct ma_target {
	pid_t pid;
	struct ma_process process; /* as far as it could be inspected */
	bool attached_now;         /* by this command */
	bool only_session;         /* not to be attached to, but the daemon has a session of it */
	struct ma_error error;     /* code 0: fine so far */
};

struct ma_targets {
	struct ma_target *list; /* owned */
	size_t count;
};

/*
 * Inspects each PID, with children the Python ones among its descendants too. What cannot be used
 * is in the list with its error; a PID that is not Python but has Python children names them there.
 */
void ma_targets_resolve(struct ma_targets *targets, const pid_t *pids, size_t count, bool children);
void ma_targets_fini(struct ma_targets *targets);

#endif
