/* SPDX-License-Identifier: MIT */
/*
 * One client of the daemon: frames (proto/channel.h) in and out without ever waiting. A client that
 * sends nonsense, or half a message and nothing more, or does not read its reply, is left; it costs
 * the others nothing.
 */
#ifndef MA_DAEMON_CONNECTION_H
#define MA_DAEMON_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/snapshot_build.h"
#include "proto/channel.h"
#include "proto/error.h"

enum { MA_CONNECTION_STALL_MS = 30000 }; /* for the rest of a request, or for reading a reply */

struct ma_connection {
	int fd;
	uint64_t id;
	pid_t peer;

	/* the request that is coming in */
	uint8_t header[MA_CHANNEL_HEADER_BYTES];
	size_t header_got;
	uint8_t *payload;
	uint32_t payload_bytes;
	uint32_t payload_got;
	int fds[MA_CHANNEL_MAX_FDS];
	int fd_count;

	/* the reply that is going out */
	uint8_t *out;
	size_t out_bytes;
	size_t out_sent;

	bool broken; /* a reply could not be made: to be destroyed */

	uint64_t stalled_since_ms; /* 0 = nothing is outstanding */

	/* a snapshot that was asked for and is being made, or waits for its turn */
	bool snapshot_waits;
	bool snapshot_packs;
	pid_t snapshot_pid;
	struct ma_snapshot_query snapshot_query;
};

/* fd is taken, made non-blocking. NULL: no memory, fd is closed. Daemon loop, as everything here.
 */
struct ma_connection *ma_connection_create(int fd, uint64_t id, pid_t peer);
void ma_connection_destroy(struct ma_connection *connection);

/* Is another request to be read? Not while one is being answered. */
bool ma_connection_wants_input(const struct ma_connection *connection);
bool ma_connection_wants_output(const struct ma_connection *connection);

/*
 * Reads what is there. 1: a request is complete in payload and fds: answer it, then
 * ma_connection_end_request; 0: not yet; MA_ERR_NO_PROCESS: the peer left; MA_ERR_PROTOCOL:
 * nonsense; after either the connection is to be destroyed.
 */
int ma_connection_read(struct ma_connection *connection, uint64_t now_ms, struct ma_error *error);

/* Forgets the request that was read; descriptors that nobody took (still >= 0) are closed. */
void ma_connection_end_request(struct ma_connection *connection);

/* Makes room for a reply of that many bytes, to be packed in place: returns where; NULL: no memory,
 * the connection is broken. Then ma_connection_reply_packed. */
uint8_t *ma_connection_reply_room(struct ma_connection *connection, size_t bytes);
void ma_connection_reply_packed(struct ma_connection *connection);

/* Sends what can be sent. 0, or MA_ERR_NO_PROCESS: destroy it. */
int ma_connection_write(struct ma_connection *connection, uint64_t now_ms);

/* Has something been outstanding for too long? */
bool ma_connection_is_stalled(const struct ma_connection *connection, uint64_t now_ms);

#endif
