/* SPDX-License-Identifier: MIT */
/* All sessions of the daemon: those that track, and those that ended and are kept for a while. */
#ifndef MA_DAEMON_SESSIONS_H
#define MA_DAEMON_SESSIONS_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/log.h"
#include "daemon/session.h"

enum {
	MA_SESSIONS = MA_AREA_MAPS,
	MA_SESSIONS_ENDED = 32, /* ended ones that are kept; beyond, the oldest goes */
};

/* Zero-initialise, then use. Daemon loop. */
struct ma_sessions {
	struct ma_session *all[MA_SESSIONS]; /* owned; in the order of their beginning */
	size_t count;
	const struct ma_log *log;      /* borrowed */
	struct ma_native_cache *names; /* borrowed; of the daemon; NULL: native frames have none */
};

/* The session of a process: the one that tracks, else the newest that ended; NULL = none. */
struct ma_session *ma_sessions_find(const struct ma_sessions *sessions, pid_t pid);

/* Takes a session in; an ended one of the same pid goes. MA_ERR_FAILED: too many, the session stays
 * the caller's. */
int ma_sessions_add(struct ma_sessions *sessions, struct ma_session *session,
		    struct ma_error *error);

/* Forgets the ended sessions of a pid. Returns how many there were. */
size_t ma_sessions_dismiss(struct ma_sessions *sessions, pid_t pid);

/* Does what is due, drops what has expired. Returns when to call again (monotonic ms). */
uint64_t ma_sessions_poll(struct ma_sessions *sessions, uint64_t now_ms);

/* Ends and frees all of them. */
void ma_sessions_fini(struct ma_sessions *sessions);

#endif
