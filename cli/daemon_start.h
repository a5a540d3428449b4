/* SPDX-License-Identifier: MIT */
/* Starting the daemon on demand. */
#ifndef MA_CLI_DAEMON_START_H
#define MA_CLI_DAEMON_START_H

#include <stddef.h>
#include <sys/types.h>

#include "cli/daemon_client.h"
#include "proto/error.h"

/*
 * Connects to the daemon; starts one when there is none. It is a copy of this process in a session
 * of its own, with / as its directory, no descriptor of ours, and its messages in daemon.log beside
 * the socket. Two commands that do this at once end up with the same daemon.
 *
 * Where nobody may adopt it (cli/orphan.h, asked about the targets) it runs as our child instead:
 * client->child is set, and tracking ends with this command: ma_daemon_end it when the targets are
 * detached.
 */
int ma_daemon_open(struct ma_client *client, const pid_t *targets, size_t count,
		   struct ma_error *error);

/* Ends a daemon that runs as our child, and reaps it; nothing when there is none. */
void ma_daemon_end(struct ma_client *client);

#endif
