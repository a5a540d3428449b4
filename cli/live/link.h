/* SPDX-License-Identifier: MIT */
/*
 * The live view's own connection to the daemon. One question is under way at a time, and nobody
 * waits for its answer: the loop is told when something can be read. A daemon that went away is
 * looked for again now and then.
 */
#ifndef MA_CLI_LIVE_LINK_H
#define MA_CLI_LIVE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/control.pb-c.h"
#include "proto/error.h"

enum { MA_LINK_RETRY_MS = 1000, MA_LINK_SILENT_MS = 5000 };

/* Embedded; ma_link_init first. */
struct ma_link {
	int fd; /* -1: not connected */
	bool asked;
	uint64_t asked_ms;
	uint64_t retry_ms; /* when to connect again */
};

void ma_link_init(struct ma_link *link);
void ma_link_close(struct ma_link *link);

/* Sends a question, connecting if need be and if it is time for that. 0: sent; MA_ERR_NO_PROCESS
 * or MA_ERR_FAILED with the reason: not. Nothing is sent while an answer is outstanding (0). */
int ma_link_ask(struct ma_link *link, Memattach__LiveQuery *query, uint64_t now_ms,
		struct ma_error *error);

/* Receives the answer when fd is readable. *reply is returned-owned, and holds a LiveView. Errors
 * of the daemon's are returned as such; after others the connection is closed. */
int ma_link_receive(struct ma_link *link, Memattach__Reply **reply, uint64_t now_ms,
		    struct ma_error *error);

/* Has the daemon been asked, and been silent for too long? */
bool ma_link_is_silent(const struct ma_link *link, uint64_t now_ms);

#endif
