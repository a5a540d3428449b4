/* SPDX-License-Identifier: MIT */
/* See worker.h. */
#include "daemon/worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void ma_job_append(struct ma_job **list, struct ma_job *job)
{
	while (*list)
		list = &(*list)->next;
	*list = job;
}

struct ma_job *ma_job_take(struct ma_job **list)
{
	struct ma_job *job = *list;
	if (job) {
		*list = job->next;
		job->next = NULL;
	}
	return job;
}

void ma_job_destroy_all(struct ma_job **list, ma_job_destroy_fn *destroy)
{
	struct ma_job *job;
	while ((job = ma_job_take(list)))
		destroy(job);
}

int ma_worker_start(struct ma_worker *worker, void *(*work)(void *), void *context,
		    struct ma_error *error)
{
	memset(worker, 0, sizeof *worker);
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "making an eventfd");
	worker->done_fd = fd;
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->wake, NULL);
	/* SIGBUS is not the loop's: it says that what was mapped is gone, to whoever reads it. */
	sigset_t all, before;
	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int result = pthread_create(&worker->thread, NULL, work, context);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	worker->started = result == 0;
	return result == 0 ? 0 : ma_error_set(error, MA_ERR_FAILED, result, "starting a thread");
}

void ma_worker_submit(struct ma_worker *worker, struct ma_job *job)
{
	pthread_mutex_lock(&worker->lock);
	ma_job_append(&worker->todo, job);
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
}

void ma_worker_done(struct ma_worker *worker, struct ma_job *job)
{
	uint64_t one = 1;
	ma_job_append(&worker->done, job);
	ssize_t ignored = write(worker->done_fd, &one, sizeof one);
	(void)ignored; /* cannot fail: the counter is far from its limit */
}

struct ma_job *ma_worker_take(struct ma_worker *worker)
{
	uint64_t ignored;
	pthread_mutex_lock(&worker->lock);
	struct ma_job *job = ma_job_take(&worker->done);
	if (!job && read(worker->done_fd, &ignored, sizeof ignored) < 0)
		ignored = 0;
	pthread_mutex_unlock(&worker->lock);
	return job;
}

void ma_worker_ask_to_stop(struct ma_worker *worker)
{
	__atomic_store_n(&worker->stopping, true, __ATOMIC_RELAXED);
	pthread_cond_signal(&worker->wake);
}

void ma_worker_fini(struct ma_worker *worker, ma_job_destroy_fn *destroy)
{
	ma_job_destroy_all(&worker->todo, destroy);
	ma_job_destroy_all(&worker->done, destroy);
	if (worker->done_fd > 0) {
		close(worker->done_fd);
		pthread_mutex_destroy(&worker->lock);
		pthread_cond_destroy(&worker->wake);
	}
	memset(worker, 0, sizeof *worker);
}
