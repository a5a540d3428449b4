/* SPDX-License-Identifier: MIT */
/* See pack_worker.h. */
#include "daemon/pack_worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "proto/snapshot.h"

static void append(struct ma_pack_job **list, struct ma_pack_job *job)
{
	while (*list)
		list = &(*list)->next;
	*list = job;
}

static struct ma_pack_job *take_first(struct ma_pack_job **list)
{
	struct ma_pack_job *job = *list;
	if (job) {
		*list = job->next;
		job->next = NULL;
	}
	return job;
}

static void *work(void *context)
{
	struct ma_pack_worker *worker = context;
	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (!worker->todo && !worker->stopping)
			pthread_cond_wait(&worker->wake, &worker->lock);
		if (worker->stopping)
			break;
		struct ma_pack_job *job = take_first(&worker->todo);
		pthread_mutex_unlock(&worker->lock);
		job->code = ma_snapshot_pack(job->snapshot.profile, &job->bytes, &job->size,
					     &job->error);
		ma_snapshot_fini(&job->snapshot);
		pthread_mutex_lock(&worker->lock);
		append(&worker->done, job);
		uint64_t one = 1;
		ssize_t ignored = write(worker->done_fd, &one, sizeof one);
		(void)ignored; /* cannot fail: the counter is far from its limit */
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int ma_pack_worker_start(struct ma_pack_worker *worker, struct ma_error *error)
{
	memset(worker, 0, sizeof *worker);
	worker->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->done_fd < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "making an eventfd");
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->wake, NULL);
	/* Signals are the loop's. */
	sigset_t all, before;
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int result = pthread_create(&worker->thread, NULL, work, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	worker->started = result == 0;
	if (result == 0)
		return 0;
	ma_pack_worker_stop(worker);
	return ma_error_set(error, MA_ERR_FAILED, result, "starting a thread");
}

void ma_pack_job_destroy(struct ma_pack_job *job)
{
	if (!job)
		return;
	ma_snapshot_fini(&job->snapshot);
	free(job->bytes);
	free(job);
}

static void destroy_all(struct ma_pack_job **list)
{
	struct ma_pack_job *job;
	while ((job = take_first(list)))
		ma_pack_job_destroy(job);
}

void ma_pack_worker_stop(struct ma_pack_worker *worker)
{
	if (worker->started) {
		pthread_mutex_lock(&worker->lock);
		worker->stopping = true;
		pthread_cond_signal(&worker->wake);
		pthread_mutex_unlock(&worker->lock);
		pthread_join(worker->thread, NULL);
	}
	if (worker->done_fd > 0) {
		close(worker->done_fd);
		pthread_mutex_destroy(&worker->lock);
		pthread_cond_destroy(&worker->wake);
	}
	destroy_all(&worker->todo);
	destroy_all(&worker->done);
	memset(worker, 0, sizeof *worker);
}

bool ma_pack_worker_has_room(const struct ma_pack_worker *worker)
{
	return worker->count < MA_PACK_JOBS;
}

int ma_pack_worker_submit(struct ma_pack_worker *worker, uint64_t connection,
			  struct ma_snapshot *snapshot, struct ma_error *error)
{
	struct ma_pack_job *job = calloc(1, sizeof *job);
	if (!job)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "packing a snapshot");
	job->connection = connection;
	job->snapshot = *snapshot;
	*snapshot = (struct ma_snapshot){0};
	worker->count++;
	pthread_mutex_lock(&worker->lock);
	append(&worker->todo, job);
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	return 0;
}

struct ma_pack_job *ma_pack_worker_take(struct ma_pack_worker *worker)
{
	uint64_t ignored;
	pthread_mutex_lock(&worker->lock);
	struct ma_pack_job *job = take_first(&worker->done);
	if (!job && read(worker->done_fd, &ignored, sizeof ignored) < 0)
		ignored = 0;
	pthread_mutex_unlock(&worker->lock);
	if (job)
		worker->count--;
	return job;
}
