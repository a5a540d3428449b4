/* SPDX-License-Identifier: MIT */
/*
 * What the commands that attach have in common: find the targets, attach to those that are not yet,
 * watch for a while, and in the end detach if that was asked for. Errors and notices are printed on
 * stderr as they come; what could not be done is in each target's error.
 */
#ifndef MA_CLI_TRACKING_H
#define MA_CLI_TRACKING_H

#include "cli/daemon_client.h"
#include "cli/options.h"
#include "cli/targets.h"

/* Embedded. */
struct ma_tracking {
	const struct ma_options *options; /* borrowed */
	struct ma_client client;
	struct ma_targets targets;
	int exit_code; /* of the first thing that went wrong, 0 = nothing */
};

/* Finds the targets, starts the daemon if needed, attaches. Always follow with ma_tracking_end. */
void ma_tracking_begin(struct ma_tracking *tracking, const struct ma_options *options);

/* Waits until every target has been watched for wait_ms since its attach, or has ended, or Ctrl-C.
 * label is for the progress bar, NULL: none. */
void ma_tracking_watch(struct ma_tracking *tracking, uint64_t wait_ms, const char *label);

/* Waits until the daemon has looked up the names of native functions, a bar meanwhile. Ctrl-C and
 * half a minute end it: what has no name by then is shown without native code, or by its address.
 */
void ma_tracking_await_names(struct ma_tracking *tracking);

/* Are targets to be detached when the command ends, and at once? */
bool ma_tracking_ends_now(const struct ma_tracking *tracking);

/* Notes that something about a target failed: prints it and keeps the exit code. */
void ma_tracking_fail(struct ma_tracking *tracking, struct ma_target *target,
		      const struct ma_error *error);

/* Stays for --duration if given, detaches if the options or a daemon of our own demand it, frees.
 * Returns the exit code. */
int ma_tracking_end(struct ma_tracking *tracking);

/* Detaches one process, with the daemon's knowledge when there is one (client may be unconnected).
 */
int ma_tracking_detach(struct ma_client *client, pid_t pid, struct ma_detach_result *result,
		       struct ma_error *error);

/* The session of pid among the reply's: the one that is tracked, else the latest; NULL: none. */
const Memattach__Session *ma_tracking_session(const Memattach__Reply *reply, pid_t pid);

#endif
