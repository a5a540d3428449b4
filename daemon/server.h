/* SPDX-License-Identifier: MIT */
/*
 * The daemon's one loop: clients, targets that end, signals, snapshots that are packed, and the
 * regular polling of the rings. Nothing in it waits for anybody.
 */
#ifndef MA_DAEMON_SERVER_H
#define MA_DAEMON_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/connection.h"
#include "daemon/locks.h"
#include "daemon/log.h"
#include "daemon/pack_worker.h"
#include "daemon/sessions.h"
#include "daemon/unwind_worker.h"
#include "proto/error.h"

enum { MA_CLIENTS = 64 };

struct ma_server {
	struct ma_log *log; /* borrowed */
	int listen_fd;      /* borrowed */
	int signal_fd;      /* borrowed: a signalfd whose signals end the loop; -1 = none */
	uint64_t idle_ms;   /* leave after this without sessions and clients; 0 = never */

	struct ma_sessions sessions;
	struct ma_locks locks;
	struct ma_pack_worker worker;
	struct ma_unwind_worker *unwind_worker; /* NULL: it could not be started */
	struct ma_native_cache names;
	struct ma_connection *connections[MA_CLIENTS];
	size_t connection_count;
	uint64_t next_id;
	uint64_t idle_since_ms;
	uint64_t accept_again_ms; /* after the system ran out of descriptors */
	bool stopping;
};

/* Serves until told to stop or idle for too long, then ends all sessions. Errors: MA_ERR_FAILED. */
int ma_server_run(struct ma_server *server, struct ma_error *error);

#endif
