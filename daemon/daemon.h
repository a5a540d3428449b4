/* SPDX-License-Identifier: MIT */
/*
 * The daemon's only face to the rest of the program: run it. Everything else goes through its Unix
 * socket (proto/control.proto, proto/channel.h).
 */
#ifndef MA_DAEMON_DAEMON_H
#define MA_DAEMON_DAEMON_H

#include <stdbool.h>

#include "proto/error.h"

struct ma_daemon_options {
	int listen_fd;   /* a listening socket to serve, taken; -1 = make our own */
	int ready_fd;    /* one byte is written here, and it is closed, once we listen; -1 = none */
	bool foreground; /* for a service manager: never idle out */
	unsigned idle_seconds; /* without sessions and clients, leave after this; 0 = 300 */
	const char *log_path;  /* NULL = stderr */
};

/*
 * Runs the daemon in this process until it is told to stop, or has been idle for long enough.
 * Returns 0, or MA_ERR_FAILED when it cannot listen (another daemon serves already: says so).
 */
int ma_daemon_run(const struct ma_daemon_options *options, struct ma_error *error);

#endif
