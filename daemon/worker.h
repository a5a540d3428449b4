/* SPDX-License-Identifier: MIT */
/*
 * A thread with a queue of jobs, so that the daemon's loop goes on emptying rings meanwhile: the
 * part that is the same whatever the jobs are (pack_worker.h, symbol_worker.h, unwind_worker.h). A
 * job is a struct that begins with a struct ma_job; it is in one list at a time.
 */
#ifndef MA_DAEMON_WORKER_H
#define MA_DAEMON_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "proto/error.h"

struct ma_job {
	struct ma_job *next;
};

struct ma_worker {
	pthread_t thread;
	bool started;
	int done_fd; /* an eventfd: readable when jobs are done; 0: not begun */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct ma_job *todo; /* below: guarded by lock */
	struct ma_job *done;
	bool stopping; /* also read without it, atomically */
};

void ma_job_append(struct ma_job **list, struct ma_job *job);

/* Takes the first job out of a list; NULL = none. */
struct ma_job *ma_job_take(struct ma_job **list);

/* Ends a job of one kind. */
typedef void ma_job_destroy_fn(struct ma_job *job);

/* Empties a list. */
void ma_job_destroy_all(struct ma_job **list, ma_job_destroy_fn *destroy);

/*
 * Starts a thread that runs work(context), with signals left to the daemon's loop. On an error,
 * MA_ERR_FAILED, the worker is to be ended by ma_worker_fini all the same. Daemon loop.
 */
int ma_worker_start(struct ma_worker *worker, void *(*work)(void *), void *context,
		    struct ma_error *error);

/* Hands a job to the thread. Daemon loop. */
void ma_worker_submit(struct ma_worker *worker, struct ma_job *job);

/* Says that a job is done. The thread, which holds the lock. */
void ma_worker_done(struct ma_worker *worker, struct ma_job *job);

/* A job that is done; NULL = none. Daemon loop. */
struct ma_job *ma_worker_take(struct ma_worker *worker);

/* Tells the thread to end. The caller holds the lock. Daemon loop. */
void ma_worker_ask_to_stop(struct ma_worker *worker);

/* Gives back what a worker has, its jobs included, its thread having ended. A zeroed worker is
 * fine. */
void ma_worker_fini(struct ma_worker *worker, ma_job_destroy_fn *destroy);

#endif
