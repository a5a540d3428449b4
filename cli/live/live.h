/* SPDX-License-Identifier: MIT */
/* The live view, full screen or not. */
#ifndef MA_CLI_LIVE_LIVE_H
#define MA_CLI_LIVE_LIVE_H

#include "cli/tracking.h"

/* How it was left. */
enum ma_live_end { MA_LIVE_LEFT, MA_LIVE_DETACH };

/* Shows the target (the only one of tracking) on the full screen until somebody leaves. 0 or
 * MA_ERR_FAILED: the terminal could not be taken over. */
int ma_live_run(struct ma_tracking *tracking, enum ma_live_end *end, struct ma_error *error);

/* Prints a table, or with --json a line of JSON, every --interval until Ctrl-C, the end of the
 * process or of --duration. Returns the exit code. */
int ma_live_print(struct ma_tracking *tracking);

#endif
