/* SPDX-License-Identifier: MIT */
/*
 * A thread that packs and compresses snapshots, so that the daemon's loop goes on emptying rings
 * meanwhile. A job owns its profile and shares nothing with the sessions.
 */
#ifndef MA_DAEMON_PACK_WORKER_H
#define MA_DAEMON_PACK_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/snapshot_build.h"
#include "daemon/worker.h"
#include "proto/error.h"

enum { MA_PACK_JOBS = 4 }; /* under way at a time: each may hold many megabytes */

struct ma_pack_job {
	struct ma_job job;
	uint64_t connection; /* id of who asked */
	struct ma_snapshot snapshot;
	int code; /* of packing, with its error */
	struct ma_error error;
	uint8_t *bytes;
	size_t size;
};

struct ma_pack_worker {
	struct ma_worker base;
	int count; /* jobs under way; the loop's */
};

/* Starts the thread. Errors: MA_ERR_FAILED. Daemon loop, as everything here. */
int ma_pack_worker_start(struct ma_pack_worker *worker, struct ma_error *error);

/* Waits for the job under way, drops the rest, ends the thread. A zeroed worker is fine. */
void ma_pack_worker_stop(struct ma_pack_worker *worker);

/* May another job be submitted now? */
bool ma_pack_worker_has_room(const struct ma_pack_worker *worker);

/* Takes the snapshot over. MA_ERR_FAILED: no memory (the snapshot stays the caller's). */
int ma_pack_worker_submit(struct ma_pack_worker *worker, uint64_t connection,
			  struct ma_snapshot *snapshot, struct ma_error *error);

/* A job that is done, returned-owned; NULL = none. */
struct ma_pack_job *ma_pack_worker_take(struct ma_pack_worker *worker);
void ma_pack_job_destroy(struct ma_pack_job *job);

#endif
