/* SPDX-License-Identifier: MIT */
/* Help texts, made from the tables of commands and options. */
#ifndef MA_CLI_HELP_H
#define MA_CLI_HELP_H

#include "cli/commands.h"
#include "cli/text.h"

/* The help of one command; NULL: the overview. */
void ma_help_write(struct ma_text *text, const struct ma_command *command);

#endif
