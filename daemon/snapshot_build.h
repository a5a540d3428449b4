/* SPDX-License-Identifier: MIT */
/*
 * From a session to a profile (proto/profile.proto), ready for ma_snapshot_pack. The profile owns
 * all its memory through its pool and refers to nothing of the session, so that it can be packed,
 * which takes longest, on another thread while the daemon goes on.
 */
#ifndef MA_DAEMON_SNAPSHOT_BUILD_H
#define MA_DAEMON_SNAPSHOT_BUILD_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/pool.h"
#include "daemon/session.h"
#include "proto/error.h"
#include "proto/profile.pb-c.h"

struct ma_snapshot_query {
	uint32_t max_sites;   /* 0 = all; the rest goes into "(other)", one sample per domain */
	uint64_t held_age_ms; /* 0 = half of the time since attach */
	bool without_series;
	bool quick;          /* no PSS and USS */
	bool without_native; /* Python frames only; sites that differ in native ones are one */
};

struct ma_snapshot {
	struct ma_pool pool;
	Memattach__Profile *profile;
};

/* Builds the profile of a session, tracking or ended. Errors: MA_ERR_FAILED (memory). Give back
 * with ma_snapshot_fini, also after a failure. Daemon loop. */
int ma_snapshot_build(struct ma_session *session, const struct ma_snapshot_query *query,
		      struct ma_snapshot *snapshot, struct ma_error *error);

void ma_snapshot_fini(struct ma_snapshot *snapshot);

#endif
