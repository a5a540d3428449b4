/* SPDX-License-Identifier: MIT */
/* See symbol_worker.h. */
#include "daemon/symbol_worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/symbol_child.h"
#include "daemon/symbol_files.h"

enum {
	CHILD_BYTES = 256 << 20, /* memory that it may take besides its files */
	TIMEOUT_MS = 10000,
	IDLE_S = 30, /* after which the child is ended */
	TRIES = 3,   /* as it is, alone in a new child, with names alone */
};

static uint64_t now_ms(void)
{
	return ma_clock_monotonic_ns() / 1000000;
}

static void stop_child(struct ma_symbol_worker *worker)
{
	pthread_mutex_lock(&worker->base.lock);
	ma_confined_stop(&worker->child);
	pthread_mutex_unlock(&worker->base.lock);
	memset(worker->slot_file, 0, sizeof worker->slot_file);
}

/* false: it could not be started, or nobody wants it any more. */
static bool start_child(struct ma_symbol_worker *worker)
{
	pthread_mutex_lock(&worker->base.lock);
	bool started = worker->child.pid != 0;
	if (!started && !worker->base.stopping)
		started = ma_confined_start(&worker->child, "memattach-names", CHILD_BYTES,
					    ma_symbol_child, NULL) == 0;
	pthread_mutex_unlock(&worker->base.lock);
	return started;
}

static uint64_t file_bytes(int fd)
{
	struct stat status;
	return fstat(fd, &status) == 0 && status.st_size > 0 ? (uint64_t)status.st_size : 0;
}

/* Sends a file; the child may take memory for it, for as long as it lives. */
static bool send_file(struct ma_symbol_worker *worker, struct ma_symbol_ask *ask, int fd)
{
	if (fd >= 0) {
		/* Twice: compressed sections are unpacked. */
		worker->child.memory_bytes += 2 * file_bytes(fd);
		ma_confined_grant(&worker->child, 0);
	}
	return ma_confined_send(worker->child.socket, ask, sizeof *ask, fd, worker->deadline_ms) ==
	       0;
}

/* The slot of a file, after opening it there if it is not yet. -1: the child is gone. */
static int slot_of(struct ma_symbol_worker *worker, const struct ma_symbol_job *job, uint32_t flags)
{
	int oldest = 0;
	for (int i = 0; i < MA_SYMBOL_SLOTS; i++) {
		if (worker->slot_file[i] == job->file + 1) {
			worker->slot_used[i] = ++worker->uses;
			return i;
		}
		if (worker->slot_used[i] < worker->slot_used[oldest])
			oldest = i;
	}
	struct ma_symbol_ask ask = {
		.kind = MA_SYMBOL_OPEN, .slot = (uint32_t)oldest, .flags = flags};
	if (!send_file(worker, &ask, job->fd))
		return -1;
	worker->slot_file[oldest] = job->file + 1;
	worker->slot_used[oldest] = ++worker->uses;
	return oldest;
}

/* Is this a place as it must be? The child may have been taken over by what it read. */
static bool is_place(const struct ma_symbol_place *place, size_t bytes,
		     const struct ma_symbol_job *job)
{
	if (bytes < offsetof(struct ma_symbol_place, text) + 1 || place->index >= job->count ||
	    place->count > MA_CODE_LINES || place->text_bytes == 0 ||
	    place->text_bytes != bytes - offsetof(struct ma_symbol_place, text) || place->text[0] ||
	    place->text[place->text_bytes - 1])
		return false;
	for (uint32_t i = 0; i < place->count; i++) {
		const struct ma_symbol_line *line = &place->line[i];
		if (line->function >= place->text_bytes || line->linkage >= place->text_bytes ||
		    line->file >= place->text_bytes)
			return false;
	}
	return true;
}

union packet {
	uint32_t kind;
	struct ma_symbol_place place;
	struct ma_symbol_want want;
};

static bool answer_want(struct ma_symbol_worker *worker, struct ma_symbol_job *job,
			struct ma_symbol_want *want)
{
	struct ma_symbol_ask ask = {.kind = MA_SYMBOL_FILE};
	want->link[sizeof want->link - 1] = 0;
	int fd = ma_symbol_files_open(job->root_fd, job->path, want);
	if (fd < 0) {
		uint64_t start_ms = now_ms();
		fd = ma_symbol_fetch_open(&worker->fetch, job->servers, want,
					  &worker->base.stopping, &job->fetched);
		/* The child only waited. */
		worker->deadline_ms += now_ms() - start_ms;
	}
	bool sent = send_file(worker, &ask, fd);
	if (fd >= 0)
		close(fd);
	return sent;
}

/* Receives what the child says until all addresses are answered. false: it failed. */
static bool receive_places(struct ma_symbol_worker *worker, struct ma_symbol_job *job)
{
	union packet *packet = malloc(sizeof *packet);
	uint32_t answered = 0;
	bool fine = packet != NULL;
	while (fine && answered < job->count) {
		ssize_t bytes = ma_confined_receive(worker->child.socket, packet, sizeof *packet,
						    NULL, worker->deadline_ms);
		if (bytes == sizeof packet->want && packet->kind == MA_SYMBOL_WANT) {
			fine = answer_want(worker, job, &packet->want);
			continue;
		}
		fine = bytes > 0 && packet->kind == MA_SYMBOL_PLACE &&
		       is_place(&packet->place, (size_t)bytes, job) &&
		       !job->place[packet->place.index];
		if (!fine)
			break;
		struct ma_symbol_place *copy = malloc((size_t)bytes);
		if (copy)
			memcpy(copy, packet, (size_t)bytes);
		job->place[packet->place.index] = copy;
		answered++;
	}
	free(packet);
	return fine;
}

static void forget_places(struct ma_symbol_job *job)
{
	for (uint32_t i = 0; i < job->count; i++) {
		free(job->place[i]);
		job->place[i] = NULL;
	}
}

static struct ma_symbol_trouble *trouble_of(struct ma_symbol_worker *worker, uint32_t file)
{
	for (uint32_t i = 0; i < worker->trouble_count; i++)
		if (worker->troubles[i].file == file)
			return &worker->troubles[i];
	if (worker->trouble_count == MA_SYMBOL_TROUBLES)
		return &worker->troubles[file % MA_SYMBOL_TROUBLES];
	worker->troubles[worker->trouble_count] = (struct ma_symbol_trouble){.file = file};
	return &worker->troubles[worker->trouble_count++];
}

static bool try_job(struct ma_symbol_worker *worker, struct ma_symbol_job *job, uint32_t flags)
{
	worker->deadline_ms = now_ms() + worker->timeout_ms;
	ma_symbol_fetch_begin(&worker->fetch);
	if (!start_child(worker))
		return false;
	int slot = slot_of(worker, job, flags);
	if (slot < 0)
		return false;
	struct ma_symbol_ask ask = {
		.kind = MA_SYMBOL_LOOK, .slot = (uint32_t)slot, .count = job->count};
	memcpy(ask.address, job->address, sizeof ask.address);
	return ma_confined_send(worker->child.socket, &ask, sizeof ask, -1, worker->deadline_ms) ==
		       0 &&
	       receive_places(worker, job);
}

static bool is_stopping(struct ma_symbol_worker *worker)
{
	pthread_mutex_lock(&worker->base.lock);
	bool stopping = worker->base.stopping;
	pthread_mutex_unlock(&worker->base.lock);
	return stopping;
}

static void do_job(struct ma_symbol_worker *worker, struct ma_symbol_job *job)
{
	struct ma_symbol_trouble *trouble = NULL;
	for (uint32_t i = 0; i < worker->trouble_count && !trouble; i++)
		if (worker->troubles[i].file == job->file)
			trouble = &worker->troubles[i];
	while (!trouble || trouble->times < TRIES) {
		bool names_only = trouble && trouble->times + 1 == TRIES;
		bool done =
			try_job(worker, job, job->flags | (names_only ? MA_SYMBOL_NAMES_ONLY : 0));
		if (done && names_only)
			job->lost = MA_SYMBOL_LOST_LINES;
		if (done || is_stopping(worker))
			return;
		forget_places(job);
		stop_child(worker);
		trouble = trouble_of(worker, job->file);
		trouble->times++;
	}
	job->lost = MA_SYMBOL_LOST_NAMES;
}

/* Waits for something to do; nothing for long: the child goes. lock is held. */
static void wait_for_work(struct ma_symbol_worker *worker)
{
	struct timespec until;
	if (!worker->child.pid) {
		pthread_cond_wait(&worker->base.wake, &worker->base.lock);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += IDLE_S;
	if (pthread_cond_timedwait(&worker->base.wake, &worker->base.lock, &until) != ETIMEDOUT)
		return;
	pthread_mutex_unlock(&worker->base.lock);
	stop_child(worker);
	pthread_mutex_lock(&worker->base.lock);
}

static void *work(void *context)
{
	struct ma_symbol_worker *worker = context;
	struct ma_worker *base = &worker->base;
	pthread_mutex_lock(&base->lock);
	for (;;) {
		while (!base->todo && !base->stopping)
			wait_for_work(worker);
		if (base->stopping)
			break;
		struct ma_symbol_job *job = (struct ma_symbol_job *)ma_job_take(&base->todo);
		pthread_mutex_unlock(&base->lock);
		do_job(worker, job);
		pthread_mutex_lock(&base->lock);
		ma_worker_done(base, &job->job);
	}
	pthread_mutex_unlock(&base->lock);
	/* Here, because the child ends with the thread that started it. */
	stop_child(worker);
	return NULL;
}

int ma_symbol_worker_start(struct ma_symbol_worker *worker, struct ma_error *error)
{
	memset(worker, 0, sizeof *worker);
	worker->timeout_ms = TIMEOUT_MS;
	ma_symbol_fetch_init(&worker->fetch);
	int code = ma_worker_start(&worker->base, work, worker, error);
	if (code)
		ma_symbol_worker_stop(worker);
	return code;
}

void ma_symbol_job_destroy(struct ma_symbol_job *job)
{
	if (!job)
		return;
	forget_places(job);
	if (job->fd >= 0)
		close(job->fd);
	if (job->root_fd >= 0)
		close(job->root_fd);
	free(job->path);
	free(job->servers);
	free(job);
}

static void destroy(struct ma_job *job)
{
	ma_symbol_job_destroy((struct ma_symbol_job *)job);
}

void ma_symbol_worker_stop(struct ma_symbol_worker *worker)
{
	struct ma_worker *base = &worker->base;
	if (base->started) {
		pthread_mutex_lock(&base->lock);
		/* Whatever it is at: the thread sees that it is gone. */
		if (worker->child.pid)
			kill(worker->child.pid, SIGKILL);
		ma_worker_ask_to_stop(base);
		pthread_mutex_unlock(&base->lock);
		pthread_join(base->thread, NULL);
	}
	ma_worker_fini(base, destroy);
	ma_symbol_fetch_fini(&worker->fetch);
	memset(worker, 0, sizeof *worker);
}

void ma_symbol_worker_submit(struct ma_symbol_worker *worker, struct ma_symbol_job *job)
{
	ma_worker_submit(&worker->base, &job->job);
}

struct ma_symbol_job *ma_symbol_worker_take(struct ma_symbol_worker *worker)
{
	return (struct ma_symbol_job *)ma_worker_take(&worker->base);
}
