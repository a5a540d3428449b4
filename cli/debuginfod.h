/* SPDX-License-Identifier: MIT */
/* May --debuginfod be given, here and now? */
#ifndef MA_CLI_DEBUGINFOD_H
#define MA_CLI_DEBUGINFOD_H

#include <stdbool.h>

#include "cli/options.h"
#include "proto/error.h"

#define MA_DEBUGINFOD_SERVERS "DEBUGINFOD_URLS" /* as debuginfod-find(1) reads it */

/* dynamic: this program can load libraries. 0, or MA_ERR_USAGE with what to do. */
int ma_debuginfod_check(const struct ma_options *options, bool dynamic, struct ma_error *error);

#endif
