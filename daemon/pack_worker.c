/* SPDX-License-Identifier: MIT */
/* See pack_worker.h. */
#include "daemon/pack_worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/snapshot.h"

static void *work(void *context)
{
	struct ma_worker *worker = context;
	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (!worker->todo && !worker->stopping)
			pthread_cond_wait(&worker->wake, &worker->lock);
		if (worker->stopping)
			break;
		struct ma_pack_job *job = (struct ma_pack_job *)ma_job_take(&worker->todo);
		pthread_mutex_unlock(&worker->lock);
		job->code = ma_snapshot_pack(job->snapshot.profile, &job->bytes, &job->size,
					     &job->error);
		ma_snapshot_fini(&job->snapshot);
		pthread_mutex_lock(&worker->lock);
		ma_worker_done(worker, &job->job);
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int ma_pack_worker_start(struct ma_pack_worker *worker, struct ma_error *error)
{
	memset(worker, 0, sizeof *worker);
	int code = ma_worker_start(&worker->base, work, &worker->base, error);
	if (code)
		ma_pack_worker_stop(worker);
	return code;
}

void ma_pack_job_destroy(struct ma_pack_job *job)
{
	if (!job)
		return;
	ma_snapshot_fini(&job->snapshot);
	free(job->bytes);
	free(job);
}

static void destroy(struct ma_job *job)
{
	ma_pack_job_destroy((struct ma_pack_job *)job);
}

void ma_pack_worker_stop(struct ma_pack_worker *worker)
{
	struct ma_worker *base = &worker->base;
	if (base->started) {
		pthread_mutex_lock(&base->lock);
		ma_worker_ask_to_stop(base);
		pthread_mutex_unlock(&base->lock);
		pthread_join(base->thread, NULL);
	}
	ma_worker_fini(base, destroy);
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
	ma_worker_submit(&worker->base, &job->job);
	return 0;
}

struct ma_pack_job *ma_pack_worker_take(struct ma_pack_worker *worker)
{
	struct ma_pack_job *job = (struct ma_pack_job *)ma_worker_take(&worker->base);
	if (job)
		worker->count--;
	return job;
}
