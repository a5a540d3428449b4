/* SPDX-License-Identifier: MIT */
/* The checks of `memattach doctor` that concern the command line itself rather than an attach: the
 * daemon, its socket's directory, who adopts orphans. */
#ifndef MA_CLI_CHECKS_H
#define MA_CLI_CHECKS_H

#include "inject/attach.h"

enum { MA_CHECKS_MOST = 64 };

/* Writes up to max checks, returns how many. Starts nothing. */
int ma_checks_own(struct ma_check *checks, int max);

/* "ok", "warn", "fail" or "skipped". */
const char *ma_checks_state_name(enum ma_check_state state);

/* The first check that failed, NULL = none. */
const struct ma_check *ma_checks_first_failed(const struct ma_check *checks, int count);

#endif
