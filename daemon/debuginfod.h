/* SPDX-License-Identifier: MIT */
/*
 * Debug files from debuginfod servers, by libdebuginfod of the system. A static program cannot load
 * it, so there are two of this: debuginfod.c is linked into the dynamic build, debuginfod_none.c
 * stands in its place in every other.
 */
#ifndef MA_DAEMON_DEBUGINFOD_H
#define MA_DAEMON_DEBUGINFOD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/error.h"

/* What is wanted. All borrowed. */
struct ma_debuginfod_ask {
	const char *servers; /* as in DEBUGINFOD_URLS */
	const uint8_t *build_id;
	uint32_t build_id_bytes;
	uint32_t limit_ms;       /* after which it is given up */
	const bool *is_stopping; /* becomes true: give up at once; read atomically */
};

/* Zero-initialise, then ma_debuginfod_init. */
struct ma_debuginfod {
	void *client;                        /* the library's; NULL until the first question */
	const struct ma_debuginfod_ask *ask; /* that is under way */
	uint64_t deadline_ms;
	bool over; /* the deadline has passed */
};

/* Daemon loop, before any other thread asks. */
void ma_debuginfod_init(struct ma_debuginfod *debuginfod);
void ma_debuginfod_fini(struct ma_debuginfod *debuginfod);

/*
 * Asks the servers; waits for them. 0 with *fd (returned-owned), which is -1 when no server has the
 * file; MA_ERR_FAILED when that could not be found out. One thread at a time. What comes is the
 * servers' and may be anything.
 */
int ma_debuginfod_open(struct ma_debuginfod *debuginfod, const struct ma_debuginfod_ask *ask,
		       int *fd, struct ma_error *error);

#endif
