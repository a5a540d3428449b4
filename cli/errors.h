/* SPDX-License-Identifier: MIT */
/* The only place that turns a struct ma_error into words: what was attempted, what the system said,
 * what to do next. */
#ifndef MA_CLI_ERRORS_H
#define MA_CLI_ERRORS_H

#include "cli/json_out.h"
#include "cli/targets.h"
#include "cli/text.h"
#include "proto/error.h"

/* "memattach: WHAT: ANSWER" and indented lines of remedy. */
void ma_errors_write(struct ma_text *text, const struct ma_error *error);

/* Prints it on stderr and returns the exit code that stands for it. */
int ma_errors_print(const struct ma_error *error);

/* Adds an object {"pid", "exit", "what", "answer", "remedy"}; pid 0: about no process. */
void ma_errors_json(struct ma_json *json, int pid, const struct ma_error *error);

/* Adds the member `errors`: the objects of all targets that have one. */
void ma_errors_json_list(struct ma_json *json, const struct ma_targets *targets);

/* Of two exit codes the one to report: the first that is not 0. */
int ma_errors_first(int earlier, int later);

#endif
