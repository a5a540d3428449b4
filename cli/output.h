/* SPDX-License-Identifier: MIT */
/*
 * The program's own streams: results on stdout, progress and notices on stderr. A reader that
 * closed the pipe is no error; a device that is full is.
 */
#ifndef MA_CLI_OUTPUT_H
#define MA_CLI_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/text.h"
#include "proto/error.h"

/* Makes sure that descriptors 0 to 2 exist, so that no file of ours takes their place, and that a
 * closed pipe is an error code rather than a signal. Call first. */
void ma_output_init(void);

/* Writes all bytes to a descriptor. 0 or MA_ERR_FAILED with errno in error->sys_errno. */
int ma_output_write_all(int fd, const void *bytes, size_t count, const char *name,
			struct ma_error *error);

/* Prints text on stdout. Returns exit_code, or 1 after a message when that failed. A closed pipe
 * changes nothing. */
int ma_output_print(const struct ma_text *text, int exit_code);

/* One line to stderr: "memattach: " and the sentence. */
void ma_output_notice(const char *sentence, ...) __attribute__((format(printf, 1, 2)));

/* Lines of a notice that may hold several, escaped, each with "memattach: PID: " in front. */
void ma_output_notice_lines(int pid, const char *lines);

#endif
