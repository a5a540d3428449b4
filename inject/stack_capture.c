/* SPDX-License-Identifier: MIT */
#include "inject/stack_capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inject/clock.h"
#include "inject/guardian.h"
#include "inject/interrupted.h"
#include "inject/memory_cache.h"
#include "inject/permission.h"
#include "inject/session.h"
#include "inject/tracee.h"
#include "inject/unwinder.h"
#include "inject/urgency.h"

enum {
	STOP_MS = 200,     /* for all threads together */
	LOCK_MS = 10000,   /* for another memattach to be done */
	LATE_MS = 2000,    /* for threads that stop when nobody waits any more */
	RESCANS = 64,      /* of the list of threads */
	WHOLE = UINT32_MAX /* all threads, not one */
};

/* One stop, in the guardian. Most of a tracee is never touched, so the array is sparse memory. */
struct stop {
	const struct ma_view *view;
	struct ma_unwinder *unwinder; /* to see who made a call that a stop has ended */
	struct ma_capture *capture;
	uint32_t only; /* index of the one thread to be read again, or WHOLE */
	bool native;   /* stacks are copied */
	struct ma_maps maps;
	struct ma_memory_cache *cache;
	const struct ma_target_memory *cached; /* of the interpreter's memory, while it stands */
	struct ma_tracee *tracee;              /* beside capture->thread, or just one */
	uint32_t room;
	uint32_t count;
	uint64_t start_ns;
	struct ma_urgency urgency;
	struct ma_stack_walk walk;
};

struct ma_capture *ma_capture_create(void)
{
	void *pages = mmap(NULL, sizeof(struct ma_capture), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

void ma_capture_destroy(struct ma_capture *capture)
{
	if (capture)
		munmap(capture, sizeof(*capture));
}

static struct ma_captured *captured(const struct stop *stop, uint32_t index)
{
	return &stop->capture->thread[stop->only == WHOLE ? index : stop->only];
}

static bool known(const struct stop *stop, pid_t tid)
{
	for (uint32_t i = stop->count; i > 0; i--)
		if (stop->tracee[i - 1].tid == tid)
			return true;
	return false;
}

/* Seizes one more thread, without stopping it yet. */
static int seize(struct stop *stop, pid_t tid, struct ma_error *error)
{
	struct ma_tracee *tracee = &stop->tracee[stop->count];
	struct ma_captured *thread = captured(stop, stop->count);
	struct ma_proc_stat stat;
	int failed;

	*thread = (struct ma_captured){.tid = tid, .how = MA_CAPTURED_GONE, .state = '?'};
	if (!stop->start_ns && !ma_proc_stat_read(stop->view->pid, tid, &stat, NULL))
		thread->state = stat.state;
	failed = ma_tracee_seize(tracee, stop->view->pid, tid, error);
	stop->count++;
	if (!failed)
		return 0;
	tracee->tid = tid;
	tracee->state = MA_TRACEE_GONE;
	/* A thread that is ending is refused with EPERM as well. */
	if (failed == MA_ERR_NO_PROCESS || ma_proc_stat_read(stop->view->pid, tid, &stat, NULL) ||
	    strchr("ZX", stat.state))
		return 0;
	thread->how = MA_CAPTURED_FOREIGN;
	return failed;
}

/* Takes every thread that is not taken yet. Before the first stop a refusal is final. */
static int seize_all(struct stop *stop, struct ma_error *error)
{
	pid_t *tids;
	size_t count;
	int failed = ma_proc_tasks(stop->view->pid, &tids, &count, error);

	if (failed)
		return failed;
	for (size_t i = 0; i < count && stop->count < stop->room; i++) {
		if (known(stop, tids[i]))
			continue;
		failed = seize(stop, tids[i], error);
		if (failed && !stop->start_ns)
			break;
		failed = 0;
	}
	free(tids);
	if (failed == MA_ERR_PERMISSION)
		return ma_permission_explain(stop->view->pid, EPERM, "stopping its threads", error);
	return failed;
}

/* Stops those from index `from` on, all at once. */
static void stop_from(struct stop *stop, uint32_t from)
{
	uint64_t deadline;

	if (!stop->start_ns)
		stop->start_ns = ma_clock_ns();
	deadline = stop->start_ns + STOP_MS * MA_NS_PER_MS;
	for (uint32_t i = from; i < stop->count; i++)
		if (stop->tracee[i].state == MA_TRACEE_RUNNING &&
		    ma_tracee_ask(&stop->tracee[i], NULL))
			stop->tracee[i].state = MA_TRACEE_GONE;
	for (uint32_t i = from; i < stop->count; i++) {
		struct ma_tracee *tracee = &stop->tracee[i];

		if (tracee->state != MA_TRACEE_RUNNING)
			continue;
		if (ma_tracee_await_stop(tracee, deadline, NULL) == MA_ERR_UNSAFE)
			captured(stop, i)->how = MA_CAPTURED_BUSY;
		else if (tracee->state == MA_TRACEE_STOPPED && !ma_tracee_read_regs(tracee, NULL))
			captured(stop, i)->how = MA_CAPTURED_STOPPED;
	}
}

/* Stops every thread, those too that are made meanwhile. */
static int stop_all(struct stop *stop, struct ma_error *error)
{
	uint32_t before = 0;
	int failed = seize_all(stop, error);

	for (int scan = 0; !failed && scan < RESCANS && before != stop->count; scan++) {
		stop_from(stop, before);
		before = stop->count;
		failed = seize_all(stop, error);
	}
	return failed;
}

/* The mapping of a stack, also when that was made or has grown since maps were read. */
static const struct ma_map *find_stack(struct stop *stop, uint64_t sp)
{
	const struct ma_map *map = ma_maps_find(&stop->maps, sp);

	if (map && (map->protection & PROT_WRITE))
		return map;
	ma_maps_fini(&stop->maps);
	if (ma_maps_read(stop->view->pid, &stop->maps, NULL))
		return NULL;
	return ma_maps_find(&stop->maps, sp);
}

static void copy_stack(struct stop *stop, struct ma_captured *thread)
{
	struct ma_capture *capture = stop->capture;
	uint64_t sp = ma_arch.sp(&thread->regs), start = sp - ma_arch.red_zone_bytes;
	const struct ma_map *map = find_stack(stop, sp);
	uint64_t bytes, room = MA_CAPTURE_STACK_BYTES - capture->stack_bytes;

	if (!map)
		return;
	if (start < map->start)
		start = map->start;
	bytes = map->end - start;
	if (bytes > MA_CAPTURE_THREAD_BYTES)
		bytes = MA_CAPTURE_THREAD_BYTES;
	if (bytes > room)
		bytes = room;
	thread->stack_start = start;
	thread->stack_at = capture->stack_bytes;
	thread->stack_bytes =
		ma_memory_read_some(&stop->view->memory, ma_raddr(start),
				    capture->stack + capture->stack_bytes, bytes, NULL);
	capture->stack_bytes += thread->stack_bytes;
}

/* Finds the Python thread state of a thread. One that has several, of several interpreters, runs
 * the one that holds the GIL, else the newest that has frames. */
static void read_python(struct stop *stop, struct ma_captured *thread)
{
	struct ma_py_stacks *python = &stop->capture->python;
	uint64_t self = ma_arch.thread_pointer(&thread->regs);

	for (uint32_t i = 0; i < python->thread_count; i++) {
		const struct ma_py_thread *state = &python->thread[i];
		struct ma_py_walk walk;

		if (state->thread_id != self)
			continue;
		thread->has_python = true;
		walk = ma_py_stacks_walk(stop->cached, &stop->view->interpreter, python, state);
		if (state->holds_gil || !thread->python.count)
			thread->python = walk;
		thread->holds_gil |= state->holds_gil;
	}
}

/* libunwind's own reading of a stack, which needs the thread to stand still. */
static void walk_standing(struct stop *stop, struct ma_captured *thread)
{
	struct ma_capture *capture = stop->capture;
	uint32_t count;

	ma_unwinder_walk_ptrace(thread->tid, &stop->walk);
	count = (uint32_t)stop->walk.count;
	if (!stop->walk.complete || count > MA_CAPTURE_PCS - capture->pc_count)
		return;
	memcpy(capture->pc + capture->pc_count, stop->walk.pc, count * sizeof(capture->pc[0]));
	thread->walked = true;
	thread->pc_at = capture->pc_count;
	thread->pc_count = count;
	capture->pc_count += count;
}

static void read_all(struct stop *stop)
{
	const struct ma_view *view = stop->view;

	ma_py_stacks_threads(stop->cached, &view->interpreter, &stop->capture->python);
	for (uint32_t i = 0; i < stop->count; i++) {
		struct ma_captured *thread = captured(stop, i);

		if (thread->how != MA_CAPTURED_STOPPED)
			continue;
		if (ma_interrupted_settle(&stop->tracee[i], view, stop->unwinder) ==
		    MA_SETTLED_PROLONGED)
			stop->capture->prolonged++;
		thread->regs = stop->tracee[i].context.regs;
		if (stop->native)
			copy_stack(stop, thread);
		read_python(stop, thread);
		if (stop->only != WHOLE)
			walk_standing(stop, thread);
	}
}

static void resume_all(struct stop *stop)
{
	uint32_t running = 0;
	uint64_t deadline;

	for (uint32_t i = 0; i < stop->count; i++) {
		struct ma_tracee *tracee = &stop->tracee[i];

		if (tracee->state == MA_TRACEE_RUNNING) {
			running++;
			continue;
		}
		ma_interrupted_recheck(tracee);
		ma_tracee_detach(tracee);
	}
	if (stop->start_ns)
		stop->capture->pause_us +=
			(uint32_t)((ma_clock_ns() - stop->start_ns) / MA_NS_PER_US);
	/* Those that had not stopped have been asked to, and cannot be let go before they do. What
	 * is late still is let go by the kernel when this process ends. */
	deadline = ma_clock_ns() + LATE_MS * MA_NS_PER_MS;
	while (running && ma_clock_ns() < deadline) {
		ma_clock_pause(MA_NS_PER_MS);
		for (uint32_t i = 0; i < stop->count; i++) {
			struct ma_tracee *tracee = &stop->tracee[i];

			if (tracee->state == MA_TRACEE_RUNNING &&
			    ma_interrupted_let_go(tracee, stop->view, stop->unwinder))
				running--;
		}
	}
	ma_urgency_end(&stop->urgency);
}

static int prepare(struct stop *stop, struct ma_error *error)
{
	struct ma_proc_status status;
	int failed = ma_proc_status_read(stop->view->pid, 0, &status, error);

	if (failed)
		return failed;
	stop->room = stop->only == WHOLE ? status.threads * 2 + 64 : 1;
	if (stop->room > MA_CAPTURE_THREADS)
		stop->room = MA_CAPTURE_THREADS;
	stop->tracee = calloc(stop->room, sizeof(*stop->tracee));
	if (!stop->tracee)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "stopping process %d",
				    stop->view->pid);
	stop->cached = ma_memory_cache_create(&stop->view->memory, &stop->cache);
	return ma_maps_read(stop->view->pid, &stop->maps, error);
}

static bool any_read(const struct stop *stop)
{
	for (uint32_t i = 0; i < stop->count; i++)
		if (captured(stop, i)->how == MA_CAPTURED_STOPPED)
			return true;
	return false;
}

/* Runs in the guardian. */
static int take(void *request, void *result, int fds[MA_GUARDIAN_FDS], struct ma_error *error)
{
	struct stop *stop = request;
	int lock_fd = -1;
	int failed;

	(void)result, (void)fds;
	failed = ma_session_lock(stop->view->pid, ma_clock_ns() + LOCK_MS * MA_NS_PER_MS, &lock_fd,
				 error);
	if (!failed)
		failed = prepare(stop, error);
	if (!failed) {
		ma_urgency_begin(&stop->urgency);
		if (stop->only == WHOLE)
			failed = stop_all(stop, error);
		else
			failed = seize(stop, stop->capture->thread[stop->only].tid, error);
		if (!failed && stop->only != WHOLE)
			stop_from(stop, 0);
		if (!failed)
			read_all(stop);
		resume_all(stop);
	}
	if (!failed && !any_read(stop)) {
		failed = ma_error_set(error, MA_ERR_UNSAFE, 0, "stopping the threads of process %d",
				      stop->view->pid);
		ma_error_answer(error, "none of them stopped within %d ms", STOP_MS);
		ma_error_remedy(error, "They are deep in system calls. Try again.");
	}
	if (stop->only == WHOLE)
		stop->capture->count = stop->count;
	if (lock_fd >= 0)
		close(lock_fd);
	return failed;
}

static int run(const struct ma_view *view, struct ma_unwinder *unwinder, struct ma_capture *capture,
	       uint32_t only, bool native, struct ma_error *error)
{
	struct stop *stop = calloc(1, sizeof(*stop));
	struct ma_guardian_task task = {.work = take, .request = stop};
	int fds[MA_GUARDIAN_FDS];
	int failed;

	if (!stop)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "stopping process %d", view->pid);
	stop->view = view;
	stop->unwinder = unwinder;
	stop->capture = capture;
	stop->only = only;
	stop->native = native;
	failed = ma_guardian_run(&task, fds, error);
	free(stop);
	return failed;
}

int ma_capture_take(const struct ma_view *view, struct ma_unwinder *unwinder,
		    struct ma_capture *capture, bool native, struct ma_error *error)
{
	capture->count = 0;
	capture->pause_us = 0;
	capture->prolonged = 0;
	capture->pc_count = 0;
	capture->stack_bytes = 0;
	ma_py_stacks_clear(&capture->python);
	return run(view, unwinder, capture, WHOLE, native, error);
}

int ma_capture_rewalk(const struct ma_view *view, struct ma_unwinder *unwinder,
		      struct ma_capture *capture, uint32_t index, struct ma_error *error)
{
	const struct ma_captured before = capture->thread[index];
	int failed = run(view, unwinder, capture, index, true, error);

	if (failed || !capture->thread[index].walked)
		capture->thread[index] = before;
	return failed;
}
