/* SPDX-License-Identifier: MIT */
/* See unwind_worker.h. */
#include "daemon/unwind_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "daemon/unwind_image.h"
#include "daemon/unwind_source.h"

enum { STOP_S = 5 };

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

static void destroy_job(struct ma_job *job)
{
	ma_unwind_job_destroy((struct ma_unwind_job *)job);
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
	job->silly = code == MA_ERR_PROTOCOL && source->is_elf;
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
		job->code =
			ma_unwind_child_compile(&source, &worker->limits, &worker->base.stopping,
						&job->table, &job->bytes, &job->error);
		job->silly = job->code == MA_ERR_PROTOCOL && ma_unwind_source_has_any(&source);
		if (job->code == 0)
			ma_unwind_cache_store(&worker->cache, job->table, job->bytes);
	}
	ma_unwind_source_fini(&source);
	return finished;
}

static void *work(void *context)
{
	struct ma_unwind_worker *worker = context;
	struct ma_worker *base = &worker->base;
	pthread_mutex_lock(&base->lock);
	for (;;) {
		while (!base->todo && !worker->slow && !base->stopping)
			pthread_cond_wait(&base->wake, &base->lock);
		if (base->stopping)
			break;
		bool compile = !base->todo;
		struct ma_job *job = ma_job_take(compile ? &worker->slow : &base->todo);
		pthread_mutex_unlock(&base->lock);
		bool finished = do_job(worker, (struct ma_unwind_job *)job, compile);
		pthread_mutex_lock(&base->lock);
		if (finished)
			ma_worker_done(base, job);
		else
			ma_job_append(&worker->slow, job);
	}
	pthread_mutex_unlock(&base->lock);
	return NULL;
}

static void destroy(struct ma_unwind_worker *worker)
{
	ma_unwind_cache_close(&worker->cache);
	ma_job_destroy_all(&worker->slow, destroy_job);
	ma_worker_fini(&worker->base, destroy_job);
	free(worker);
}

struct ma_unwind_worker *ma_unwind_worker_start(struct ma_error *error)
{
	struct ma_unwind_worker *worker = calloc(1, sizeof *worker);
	if (!worker) {
		ma_error_set(error, MA_ERR_FAILED, ENOMEM, "starting a thread");
		return NULL;
	}
	worker->limits = ma_unwind_limits;
	ma_unwind_cache_open(&worker->cache);
	if (ma_worker_start(&worker->base, work, worker, error) == 0)
		return worker;
	destroy(worker);
	return NULL;
}

void ma_unwind_worker_stop(struct ma_unwind_worker *worker)
{
	struct timespec until;
	if (!worker)
		return;
	pthread_mutex_lock(&worker->base.lock);
	ma_worker_ask_to_stop(&worker->base);
	pthread_mutex_unlock(&worker->base.lock);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_S;
	if (pthread_timedjoin_np(worker->base.thread, NULL, &until) == 0)
		destroy(worker);
}

void ma_unwind_worker_submit(struct ma_unwind_worker *worker, struct ma_unwind_job *job)
{
	ma_worker_submit(&worker->base, &job->job);
}

static void forget_in(struct ma_job **at, uint64_t owner)
{
	while (*at) {
		if (((struct ma_unwind_job *)*at)->owner == owner)
			destroy_job(ma_job_take(at));
		else
			at = &(*at)->next;
	}
}

void ma_unwind_worker_forget(struct ma_unwind_worker *worker, uint64_t owner)
{
	pthread_mutex_lock(&worker->base.lock);
	forget_in(&worker->base.todo, owner);
	forget_in(&worker->slow, owner);
	forget_in(&worker->base.done, owner);
	pthread_mutex_unlock(&worker->base.lock);
}

struct ma_unwind_job *ma_unwind_worker_take(struct ma_unwind_worker *worker)
{
	return (struct ma_unwind_job *)ma_worker_take(&worker->base);
}
