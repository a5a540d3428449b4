/* SPDX-License-Identifier: MIT */
/*
 * Separate debug files that are not on this machine: when the servers are asked for one, and for
 * how long. How they are asked is daemon/debuginfod.h's. Servers that fail once are left in peace
 * for a while, because every name of every other file waits meanwhile.
 */
#ifndef MA_DAEMON_SYMBOL_FETCH_H
#define MA_DAEMON_SYMBOL_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/debuginfod.h"
#include "daemon/symbol_packet.h"

/* What became of the questions. */
struct ma_symbol_fetched {
	uint32_t asked, failed;
	char answer[200]; /* of the last failure */
};

/* Zero-initialise, then ma_symbol_fetch_init. */
struct ma_symbol_fetch {
	/* ma_debuginfod_open, or a test's own */
	int (*open)(struct ma_debuginfod *debuginfod, const struct ma_debuginfod_ask *ask, int *fd,
		    struct ma_error *error);
	struct ma_debuginfod debuginfod;
	uint32_t limit_ms; /* for one file */
	uint32_t pause_ms; /* after a failure */
	uint64_t quiet_until_ms;
	struct ma_error error; /* why */
	bool asked[2];         /* in this batch: for a debug file, for the one that it shares */
};

/* Daemon loop, before the thread that asks begins. */
void ma_symbol_fetch_init(struct ma_symbol_fetch *fetch);
void ma_symbol_fetch_fini(struct ma_symbol_fetch *fetch);

/* A new batch: each kind of file may be asked for once. Symbol thread, as what follows. */
void ma_symbol_fetch_begin(struct ma_symbol_fetch *fetch);

/* Asks the servers (borrowed; NULL: there are none) for a file that is wanted. An fd
 * (returned-owned); -1: there is none. Adds to *fetched. *is_stopping is read atomically. */
int ma_symbol_fetch_open(struct ma_symbol_fetch *fetch, const char *servers,
			 const struct ma_symbol_want *want, const bool *is_stopping,
			 struct ma_symbol_fetched *fetched);

#endif
