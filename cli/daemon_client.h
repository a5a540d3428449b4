/* SPDX-License-Identifier: MIT */
/*
 * Talking to the daemon: one connection, one request and one reply at a time. Replies are checked
 * here, so that callers get either what they asked for or a struct ma_error.
 */
#ifndef MA_CLI_DAEMON_CLIENT_H
#define MA_CLI_DAEMON_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/attach.h"
#include "proto/control.pb-c.h"
#include "proto/error.h"

/* A connection. Embedded; fd -1: not connected. */
struct ma_client {
	int fd;
	char release[32]; /* of the daemon */
	pid_t child;      /* a daemon that runs as our child and ends with us, 0 = none */
};

/* Connects to the daemon that runs. MA_ERR_NO_PROCESS: there is none; every other failure is worth
 * a message. Says so when it is of another protocol (MA_ERR_FAILED, with the remedy). */
int ma_client_connect(struct ma_client *client, struct ma_error *error);

/* Closes the connection; accepts an unconnected client. The child, if any, is left alone. */
void ma_client_close(struct ma_client *client);

/* What begin_attach and begin_detach were answered. */
enum ma_grant { MA_GRANT_GO, MA_GRANT_SERVED, MA_GRANT_NOT_SERVED };

/* Takes the target's lock for this connection; waits up to 15 s while somebody else has it
 * (MA_ERR_FAILED then). */
int ma_client_begin_attach(struct ma_client *client, pid_t pid, enum ma_grant *grant,
			   struct ma_error *error);
int ma_client_begin_detach(struct ma_client *client, pid_t pid, enum ma_grant *grant,
			   struct ma_error *error);

/* Hands over the attached target; the descriptors are borrowed. Gives the lock back. */
int ma_client_attached(struct ma_client *client, const Memattach__Attached *attached, int pidfd,
		       int area_fd, int unwind_fd, struct ma_error *error);
int ma_client_cancel_attach(struct ma_client *client, pid_t pid, struct ma_error *error);
int ma_client_detached(struct ma_client *client, pid_t pid, struct ma_error *error);

/* *reply is returned-owned (ma_client_free_reply) and holds sessions; pid 0: all of them. A pid
 * that the daemon does not know gives no session and no error. */
int ma_client_sessions(struct ma_client *client, pid_t pid, Memattach__Reply **reply,
		       struct ma_error *error);
/* *reply holds a snapshot; native: with native frames. */
int ma_client_snapshot(struct ma_client *client, pid_t pid, bool native, Memattach__Reply **reply,
		       struct ma_error *error);
int ma_client_dismiss(struct ma_client *client, pid_t pid, struct ma_error *error);
int ma_client_configure(struct ma_client *client, const Memattach__Configure *configure,
			struct ma_error *error);
int ma_client_shutdown(struct ma_client *client, struct ma_error *error);

void ma_client_free_reply(Memattach__Reply *reply);

/* Is it an error of the connection, after which the client must be closed? */
bool ma_client_is_gone(const struct ma_client *client);

#endif
