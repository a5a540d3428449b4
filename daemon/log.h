/* SPDX-License-Identifier: MIT */
/* The daemon's log: one line per event that somebody may ask about later, with the time. */
#ifndef MA_DAEMON_LOG_H
#define MA_DAEMON_LOG_H

#include "proto/error.h"

struct ma_log {
	int fd; /* owned, unless it is stderr's */
};

/* Opens path for appending (made 0600 if new); NULL: stderr. Errors: MA_ERR_FAILED. */
int ma_log_open(struct ma_log *log, const char *path, struct ma_error *error);
void ma_log_close(struct ma_log *log);

/* Writes one line; control characters in it become "?". What cannot be written is lost. */
void ma_log_line(const struct ma_log *log, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same for an error, with what was attempted, the answer and the remedy. */
void ma_log_error(const struct ma_log *log, const struct ma_error *error);

#endif
