/* SPDX-License-Identifier: MIT */
/* Answers each request of proto/control.proto. */
#ifndef MA_DAEMON_REQUESTS_H
#define MA_DAEMON_REQUESTS_H

#include "daemon/server.h"

/*
 * Answers the complete request that a connection holds: queues a reply, or lets a snapshot wait for
 * its turn. MA_ERR_PROTOCOL: it does not parse; the connection is to be closed. Daemon loop, as
 * everything here.
 */
int ma_requests_answer(struct ma_server *server, struct ma_connection *connection,
		       struct ma_error *error);

/* Begins the snapshot that a connection waits for: builds it and hands it to the worker. Queues an
 * error instead when that fails. */
void ma_requests_start_snapshot(struct ma_server *server, struct ma_connection *connection);

/* Queues the packed snapshot (or the error of packing) as the reply. */
void ma_requests_finish_snapshot(struct ma_connection *connection, const struct ma_pack_job *job);

/* A connection is about to go: its locks are given back, detaches that it began are called off. */
void ma_requests_leave(struct ma_server *server, const struct ma_connection *connection);

#endif
