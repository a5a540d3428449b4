/* SPDX-License-Identifier: MIT */
/*
 * The live view's side in the daemon: from a LiveQuery (proto/control.proto) to a LiveView. A
 * session has one struct ma_viewer from the first such query on; it is given up when nobody looks
 * any more.
 *
 * viewer.c answers, viewer_rows.c adds up by line and thread, viewer_tree.c along the call tree,
 * viewer_stacks.c lists the stacks of a line; viewer_index.h says what a site is about,
 * viewer_values.h what it is worth.
 */
#ifndef MA_DAEMON_VIEWER_H
#define MA_DAEMON_VIEWER_H

#include <stdint.h>

#include "daemon/pool.h"
#include "daemon/session.h"
#include "proto/control.pb-c.h"
#include "proto/error.h"

/*
 * Answers a query about this session. *view is in the pool, and its `session` is left to the
 * caller. An answer takes some milliseconds; what would take longer is done piece by piece over
 * several (view->indexed). Errors: MA_ERR_FAILED (memory). Daemon loop, as everything here.
 */
int ma_viewer_answer(struct ma_session *session, const Memattach__LiveQuery *query,
		     struct ma_pool *pool, Memattach__LiveView **view, struct ma_error *error);

/* Gives up what is kept for viewers if nobody has asked for a while. */
void ma_viewer_tidy(struct ma_session *session, uint64_t now_ms);

/* Frees it; NULL is fine. */
void ma_viewer_destroy(struct ma_viewer *viewer);

#endif
