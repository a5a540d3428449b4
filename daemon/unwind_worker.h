/* SPDX-License-Identifier: MIT */
/*
 * A thread that finds the unwind tables of modules, so that the daemon's loop goes on emptying
 * rings meanwhile: it opens a module's file as the target sees it (or, if that cannot be, reads the
 * target's memory), looks the table up in the cache, and has it compiled in a child process when it
 * is not there. What is in the cache goes before what is to be compiled.
 */
#ifndef MA_DAEMON_UNWIND_WORKER_H
#define MA_DAEMON_UNWIND_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/modules.h"
#include "daemon/unwind_cache.h"
#include "daemon/unwind_child.h"
#include "daemon/worker.h"
#include "proto/error.h"

/* One module to be looked at, and what came of it. */
struct ma_unwind_job {
	struct ma_job job;
	uint64_t owner;                 /* whose it is */
	struct ma_native_module module; /* path owned; bias and build-id are filled in */
	uint64_t offset;                /* in the file, of what is mapped at module.start */
	uint64_t head;                  /* where the file's beginning is mapped; 0: nowhere */
	pid_t pid;
	int proc_fd; /* /proc/PID; owned */

	bool known;  /* the file is that of the module: bias and build-id are right */
	bool silly;  /* it has something to say about unwinding, and that makes no sense */
	int code;    /* 0: there is a table; else why not, as ma_unwind_child_compile */
	void *table; /* checked; owned */
	size_t bytes;
	struct ma_error error; /* when code is not 0 */
};

struct ma_unwind_worker {
	struct ma_worker base;
	struct ma_unwind_limits limits;
	struct ma_unwind_cache cache; /* the thread's */
	struct ma_job *slow;          /* not in the cache: to be compiled; guarded by base.lock */
};

/* Starts the thread; returned-owned, NULL with *error: MA_ERR_FAILED. Daemon loop, as everything
 * here. */
struct ma_unwind_worker *ma_unwind_worker_start(struct ma_error *error);

/* Ends the thread and its child and drops what is under way. NULL is fine. A thread that hangs in a
 * file system is left behind, with the worker, until the process ends. */
void ma_unwind_worker_stop(struct ma_unwind_worker *worker);

/* A job for a module of proc_fd (borrowed). NULL: no memory, or no descriptor. */
struct ma_unwind_job *ma_unwind_job_create(const struct ma_native_module *module, pid_t pid,
					   int proc_fd);
void ma_unwind_job_destroy(struct ma_unwind_job *job);

/* Takes the job over. */
void ma_unwind_worker_submit(struct ma_unwind_worker *worker, struct ma_unwind_job *job);

/* Drops an owner's jobs; the one that is under way may still come. */
void ma_unwind_worker_forget(struct ma_unwind_worker *worker, uint64_t owner);

/* A job that is done, returned-owned; NULL = none. */
struct ma_unwind_job *ma_unwind_worker_take(struct ma_unwind_worker *worker);

#endif
