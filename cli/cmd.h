/* SPDX-License-Identifier: MIT */
/* The sub-commands, one per cmd_NAME.c. Each prints its results and returns the exit code. */
#ifndef MA_CLI_CMD_H
#define MA_CLI_CMD_H

#include "cli/options.h"

int ma_cmd_summary(const struct ma_options *options);
int ma_cmd_live(const struct ma_options *options);
int ma_cmd_ps(const struct ma_options *options);
int ma_cmd_attach(const struct ma_options *options);
int ma_cmd_detach(const struct ma_options *options);
int ma_cmd_status(const struct ma_options *options);
int ma_cmd_dump(const struct ma_options *options);
int ma_cmd_stacks(const struct ma_options *options);
int ma_cmd_doctor(const struct ma_options *options);
int ma_cmd_daemon(const struct ma_options *options);

#endif
