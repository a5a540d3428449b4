/* SPDX-License-Identifier: MIT */
/*
 * A thread that looks up names of code, so that the daemon's loop goes on emptying rings meanwhile.
 * It opens files (a target's as the target sees them, separate debug files by build-id and by
 * .gnu_debuglink below the target's root, then ours, then from debuginfod servers where somebody
 * asked for these) and hands them to a confined child, which is
 * started when there is something to do, and ended when there has been nothing for a while. A file
 * that is too much for the child is asked for its symbols alone, then for nothing.
 */
#ifndef MA_DAEMON_SYMBOL_WORKER_H
#define MA_DAEMON_SYMBOL_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/confine.h"
#include "daemon/symbol_fetch.h"
#include "daemon/symbol_packet.h"
#include "daemon/worker.h"
#include "proto/error.h"

enum {
	MA_SYMBOL_TROUBLES = 64, /* files that are remembered for being too much */
};

/* What could not be read of a file, because it was too much for the child. */
enum ma_symbol_lost { MA_SYMBOL_LOST_NOTHING, MA_SYMBOL_LOST_LINES, MA_SYMBOL_LOST_NAMES };

/* Addresses of one file, and what became of them. */
struct ma_symbol_job {
	struct ma_job job;
	uint32_t file;  /* the cache's: tells files apart */
	int fd;         /* of the file; owned */
	int root_fd;    /* the target's root; owned; -1: it is gone */
	char *path;     /* of the file, below that root; owned */
	uint32_t flags; /* enum ma_symbol_open */
	char *servers;  /* for debug files, as in DEBUGINFOD_URLS; owned; NULL: none are asked */
	struct ma_symbol_fetched fetched;
	enum ma_symbol_lost lost;
	uint32_t count;
	uint64_t address[MA_SYMBOL_BATCH];
	struct ma_symbol_place *place[MA_SYMBOL_BATCH]; /* owned, cut to size; NULL: no answer */
};

struct ma_symbol_trouble {
	uint32_t file;
	uint32_t times;
};

struct ma_symbol_worker {
	struct ma_worker base;
	uint32_t timeout_ms;      /* of one batch */
	struct ma_confined child; /* the thread's own, begun and ended under base.lock */
	/* The thread's own. */
	struct ma_symbol_fetch fetch;
	uint64_t deadline_ms;                /* of the batch that it is at */
	uint32_t slot_file[MA_SYMBOL_SLOTS]; /* 0: free; else file + 1 */
	uint64_t slot_used[MA_SYMBOL_SLOTS];
	uint64_t uses;
	struct ma_symbol_trouble troubles[MA_SYMBOL_TROUBLES];
	uint32_t trouble_count;
};

/* Starts the thread. Errors: MA_ERR_FAILED. Daemon loop, as everything here. */
int ma_symbol_worker_start(struct ma_symbol_worker *worker, struct ma_error *error);

/* Ends the child and the thread, drops what is under way. A zeroed worker is fine. */
void ma_symbol_worker_stop(struct ma_symbol_worker *worker);

/* Takes the job over. */
void ma_symbol_worker_submit(struct ma_symbol_worker *worker, struct ma_symbol_job *job);

/* A job that is done, returned-owned; NULL = none. */
struct ma_symbol_job *ma_symbol_worker_take(struct ma_symbol_worker *worker);
void ma_symbol_job_destroy(struct ma_symbol_job *job);

#endif
