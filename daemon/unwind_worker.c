/* SPDX-License-Identifier: MIT */
/* See unwind_worker.h. */
#include "daemon/unwind_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "daemon/unwind_image.h"
#include "daemon/unwind_source.h"

enum { STOP_S = 5 };

static void append(struct ma_unwind_job **list, struct ma_unwind_job *job)
{
	while (*list)
		list = &(*list)->next;
	*list = job;
}

static struct ma_unwind_job *take_first(struct ma_unwind_job **list)
{
	struct ma_unwind_job *job = *list;
	if (job) {
		*list = job->next;
		job->next = NULL;
	}
	return job;
}

struct ma_unwind_job *ma_unwind_job_create(const struct ma_native_module *module, pid_t pid,
					   int proc_fd)
{
	struct ma_unwind_job *job = calloc(1, sizeof *job);
	if (!job)
		return NULL;
	job->module = *module;
	job->module.path = strdup(module->path);
	job->pid = pid;
	job->proc_fd = fcntl(proc_fd, F_DUPFD_CLOEXEC, 0);
	if (job->module.path && job->proc_fd >= 0)
		return job;
	ma_unwind_job_destroy(job);
	return NULL;
}

void ma_unwind_job_destroy(struct ma_unwind_job *job)
{
	if (!job)
		return;
	free((char *)job->module.path);
	if (job->proc_fd >= 0)
		close(job->proc_fd);
	free(job->table);
	free(job);
}

static void destroy_all(struct ma_unwind_job **list)
{
	struct ma_unwind_job *job;
	while ((job = take_first(list)))
		ma_unwind_job_destroy(job);
}

/* Reads the module's file. Its descriptor is not kept: there may be hundreds of modules. */
static int read_source(struct ma_unwind_job *job, struct ma_unwind_source *source)
{
	struct ma_modules modules;
	*source = (struct ma_unwind_source){0};
	ma_modules_init(&modules, job->pid, job->proc_fd);
	int fd = ma_modules_open(&modules, &job->module);
	if (fd < 0)
		fd = ma_unwind_image_copy(job->pid, job->head);
	if (fd < 0)
		return ma_error_set(&job->error, MA_ERR_FAILED, errno, "opening %s",
				    job->module.path);
	int code = ma_unwind_source_read(source, fd, &job->error);
	close(fd);
	if (code < 0)
		return code;
	job->known =
		ma_unwind_source_bias(source, job->module.start, job->offset, &job->module.bias);
	job->module.build_id_bytes = source->build_id_bytes;
	memcpy(job->module.build_id, source->build_id, source->build_id_bytes);
	if (job->known)
		return 0;
	ma_error_set(&job->error, MA_ERR_PROTOCOL, 0, "reading how to unwind a module");
	ma_error_answer(&job->error, "what is mapped is none of the file's code");
	return MA_ERR_PROTOCOL;
}

/* Does a job as far as that goes quickly. false: it takes compiling, which was not to be yet. */
static bool do_job(struct ma_unwind_worker *worker, struct ma_unwind_job *job, bool compile)
{
	struct ma_unwind_source source;
	bool finished = true;
	job->code = read_source(job, &source);
	if (job->code == 0)
		job->table = ma_unwind_cache_load(&worker->cache, source.hash, &job->bytes);
	if (job->code == 0 && !job->table && !compile) {
		finished = false;
	} else if (job->code == 0 && !job->table) {
		job->code = ma_unwind_child_compile(&source, &worker->limits, &worker->stopping,
						    &job->table, &job->bytes, &job->error);
		if (job->code == 0)
			ma_unwind_cache_store(&worker->cache, job->table, job->bytes);
	}
	ma_unwind_source_fini(&source);
	return finished;
}

static void *work(void *context)
{
	struct ma_unwind_worker *worker = context;
	pthread_mutex_lock(&worker->lock);
	for (;;) {
		while (!worker->todo && !worker->slow && !worker->stopping)
			pthread_cond_wait(&worker->wake, &worker->lock);
		if (worker->stopping)
			break;
		bool compile = !worker->todo;
		struct ma_unwind_job *job = take_first(compile ? &worker->slow : &worker->todo);
		pthread_mutex_unlock(&worker->lock);
		bool finished = do_job(worker, job, compile);
		pthread_mutex_lock(&worker->lock);
		append(finished ? &worker->done : &worker->slow, job);
		uint64_t one = 1;
		ssize_t ignored = finished ? write(worker->done_fd, &one, sizeof one) : 0;
		(void)ignored; /* cannot fail: the counter is far from its limit */
	}
	pthread_mutex_unlock(&worker->lock);
	return NULL;
}

static void destroy(struct ma_unwind_worker *worker)
{
	if (worker->done_fd >= 0)
		close(worker->done_fd);
	pthread_mutex_destroy(&worker->lock);
	pthread_cond_destroy(&worker->wake);
	ma_unwind_cache_close(&worker->cache);
	destroy_all(&worker->todo);
	destroy_all(&worker->slow);
	destroy_all(&worker->done);
	free(worker);
}

struct ma_unwind_worker *ma_unwind_worker_start(struct ma_error *error)
{
	struct ma_unwind_worker *worker = calloc(1, sizeof *worker);
	if (!worker) {
		ma_error_set(error, MA_ERR_FAILED, ENOMEM, "starting a thread");
		return NULL;
	}
	pthread_mutex_init(&worker->lock, NULL);
	pthread_cond_init(&worker->wake, NULL);
	worker->limits = ma_unwind_limits;
	ma_unwind_cache_open(&worker->cache);
	worker->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int failed = worker->done_fd < 0 ? errno : 0;
	if (!failed) {
		/* Signals are the loop's. */
		sigset_t all, before;
		sigfillset(&all);
		sigdelset(&all, SIGBUS);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		failed = pthread_create(&worker->thread, NULL, work, worker);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	if (!failed) {
		worker->started = true;
		return worker;
	}
	destroy(worker);
	ma_error_set(error, MA_ERR_FAILED, failed, "starting a thread");
	return NULL;
}

void ma_unwind_worker_stop(struct ma_unwind_worker *worker)
{
	struct timespec until;
	if (!worker)
		return;
	pthread_mutex_lock(&worker->lock);
	__atomic_store_n(&worker->stopping, true, __ATOMIC_RELAXED);
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_S;
	if (pthread_timedjoin_np(worker->thread, NULL, &until) == 0)
		destroy(worker);
}

void ma_unwind_worker_submit(struct ma_unwind_worker *worker, struct ma_unwind_job *job)
{
	pthread_mutex_lock(&worker->lock);
	append(&worker->todo, job);
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->lock);
}

static void forget_in(struct ma_unwind_job **at, uint64_t owner)
{
	while (*at) {
		if ((*at)->owner == owner)
			ma_unwind_job_destroy(take_first(at));
		else
			at = &(*at)->next;
	}
}

void ma_unwind_worker_forget(struct ma_unwind_worker *worker, uint64_t owner)
{
	pthread_mutex_lock(&worker->lock);
	forget_in(&worker->todo, owner);
	forget_in(&worker->slow, owner);
	forget_in(&worker->done, owner);
	pthread_mutex_unlock(&worker->lock);
}

struct ma_unwind_job *ma_unwind_worker_take(struct ma_unwind_worker *worker)
{
	uint64_t ignored;
	pthread_mutex_lock(&worker->lock);
	struct ma_unwind_job *job = take_first(&worker->done);
	if (!job && read(worker->done_fd, &ignored, sizeof ignored) < 0)
		ignored = 0;
	pthread_mutex_unlock(&worker->lock);
	return job;
}
