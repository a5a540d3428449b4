/* SPDX-License-Identifier: MIT */
/* A session as a message of proto/control.proto, for list and status. */
#ifndef MA_DAEMON_SESSION_REPORT_H
#define MA_DAEMON_SESSION_REPORT_H

#include "daemon/pool.h"
#include "daemon/session.h"
#include "proto/control.pb-c.h"

/* Makes the message in the pool; NULL: no memory. Its strings may be the session's. Daemon loop. */
Memattach__Session *ma_session_report(const struct ma_session *session, struct ma_pool *pool);

/* Adds the history of its cost, for those who ask for sessions. */
void ma_session_report_cost(const struct ma_session *session, Memattach__Session *report,
			    struct ma_pool *pool);

#endif
