/* SPDX-License-Identifier: MIT */
/*
 * A file that appears under its name whole or not at all: written beside it under another name,
 * synced, renamed. What is no regular file (a pipe, a device) is written to as it is.
 */
#ifndef MA_CLI_OUTPUT_FILE_H
#define MA_CLI_OUTPUT_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/error.h"

/* Embedded. */
struct ma_output_file {
	int fd;          /* owned */
	char *path;      /* owned; links resolved */
	char *temporary; /* owned; NULL when written to as it is */
};

/* Opens it for writing, so that what is not writable is known before work is done. Refuses a
 * terminal. MA_ERR_FAILED; MA_ERR_USAGE for a directory or a terminal. */
int ma_output_file_begin(struct ma_output_file *file, const char *path, struct ma_error *error);

/* Writes all of it and gives it its name. On failure nothing is left, and what stood there before
 * is untouched. A pipe that the reader has closed is no error. Ends the file either way. */
int ma_output_file_finish(struct ma_output_file *file, const void *bytes, size_t count,
			  struct ma_error *error);

/* Removes what was begun; after finish, nothing. */
void ma_output_file_abandon(struct ma_output_file *file);

#endif
