/* SPDX-License-Identifier: MIT */
/*
 * What the hook's native walk finds against what libdw finds from the same place at the same time:
 * the program traces an attached target, stops it where the hook begins to walk, unwinds it there
 * with libdw from the files, lets the hook walk, stops it again where that returns, and compares pc
 * by pc. Nothing in the target is changed: the stops are the processor's breakpoints, for the
 * threads that there are when it begins.
 *
 * native_oracle PID OFFSET STACKS SECONDS: OFFSET is that of ma_unwind_walk in the hook. Prints one
 * line: stacks, frames, cut, differing; and up to ten lines about what differs.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "inject/clock.h"
#include "inject/hook/tables.h"
#include "inject/inspect.h"
#include "inject/procfs.h"
#include "inject/remote_memfd.h"
#include "inject/unwinder.h"
#include "proto/unwind.h"

enum { THREADS = 64, SHOWN = 10, ENABLE_LOCAL = 1, NOT_YET = -1 };

/* One thread, and what it is stopped at next. */
struct thread {
	pid_t tid;
	bool gone;
	uint64_t walk;    /* the hook's struct ma_walk, once it has begun */
	uint32_t before;  /* Python frames in it */
	int expected;     /* pcs of the oracle's, NOT_YET while it has not begun */
	uint64_t *oracle; /* owned */
};

static struct ma_view view;
static struct ma_unwinder *unwinder;
static struct thread threads[THREADS];
static size_t thread_count;
static uint64_t hook_start, hook_end, entry;
static unsigned long stacks, frames, cut, differing, unjudged;

static bool set_breakpoint(pid_t tid, uint64_t address)
{
	size_t base = offsetof(struct user, u_debugreg);

	return !ptrace(PTRACE_POKEUSER, tid, base + 7 * sizeof(long), 0) &&
	       !ptrace(PTRACE_POKEUSER, tid, base, address) &&
	       (!address || !ptrace(PTRACE_POKEUSER, tid, base + 7 * sizeof(long), ENABLE_LOCAL));
}

static bool find_hook(void)
{
	const struct ma_map *map = ma_maps_find_memfd(&view.maps, MA_HOOK_MEMFD, 0, 0);

	/* The library comes from the file's start; the loader, from behind it. */
	while (map && map->offset_bytes)
		map = ma_maps_find_memfd(&view.maps, MA_HOOK_MEMFD, 0,
					 (size_t)(map - view.maps.map) + 1);
	if (!map)
		return false;
	hook_start = map->start;
	for (size_t i = (size_t)(map - view.maps.map); i < view.maps.count; i++)
		if (ma_map_same_file(&view.maps.map[i], map) &&
		    view.maps.map[i].start - hook_start < (1 << 20))
			hook_end = view.maps.map[i].end;
	return true;
}

static bool look(pid_t pid)
{
	struct ma_error error;

	ma_unwinder_destroy(unwinder);
	ma_view_close(&view);
	view.pidfd = -1;
	view.memory.fd = -1;
	if (ma_view_open(pid, &view, &error)) {
		fprintf(stderr, "%s: %s\n", error.what, error.answer);
		return false;
	}
	unwinder = ma_unwinder_create(&view);
	return unwinder && find_hook();
}

/* Where the hook begins: unwinds by libdw, keeps what is not the hook's, and waits for the end. */
static void begin(struct thread *thread, const struct ma_regs *regs)
{
	static struct ma_stack_walk walk;
	uint64_t back, count;

	ma_unwinder_walk(unwinder, thread->tid, regs, &walk);
	if (!walk.complete && look(view.pid)) /* something was loaded since */
		ma_unwinder_walk(unwinder, thread->tid, regs, &walk);
	thread->expected = 0;
	for (int i = 0; i < walk.count; i++)
		if (walk.pc[i] - hook_start >= hook_end - hook_start)
			thread->oracle[thread->expected++] = walk.pc[i];
	if (!walk.complete)
		unjudged++;
	thread->walk = regs->raw.rdx;
	if (!walk.complete ||
	    ma_memory_read_u64(&view.memory, ma_raddr(regs->raw.rsp), &back, NULL) ||
	    ma_memory_read_u64(&view.memory,
			       ma_raddr(thread->walk + offsetof(struct ma_walk, count)), &count,
			       NULL)) {
		thread->expected = NOT_YET;
		return;
	}
	thread->before = (uint32_t)count;
	set_breakpoint(thread->tid, back);
}

static void tell(const struct thread *thread, const uint64_t *words, int found, uint32_t flags)
{
	int i = 0;

	if (differing > SHOWN)
		return;
	while (i < found && i < thread->expected &&
	       MA_FRAME_NATIVE_PC(words[i]) == thread->oracle[i])
		i++;
	printf("# flags %#x, %d frames, by libdw %d; at %d: %#lx, by libdw %#lx, after %#lx\n",
	       flags, found, thread->expected, i,
	       i < found ? (unsigned long)MA_FRAME_NATIVE_PC(words[i]) : 0,
	       i < thread->expected ? (unsigned long)thread->oracle[i] : 0,
	       i ? (unsigned long)thread->oracle[i - 1] : 0);
}

/* Where it has ended: compares. */
static void end(struct thread *thread)
{
	static uint64_t words[MA_MAX_FRAMES];
	struct ma_walk walk;
	int found = 0;
	bool same;

	set_breakpoint(thread->tid, entry);
	if (!ma_memory_read(&view.memory, ma_raddr(thread->walk), &walk, sizeof walk, NULL) &&
	    walk.count >= thread->before && walk.count <= MA_MAX_FRAMES)
		found = (int)(walk.count - thread->before);
	else
		walk.flags = 0;
	if (found && ma_memory_read(&view.memory,
				    ma_raddr((uint64_t)(uintptr_t)(walk.frames + thread->before)),
				    words, (size_t)found * sizeof words[0], NULL))
		found = 0;
	same = found == thread->expected;
	for (int i = 0; same && i < found; i++)
		same = MA_FRAME_IS_NATIVE(words[i]) &&
		       MA_FRAME_NATIVE_PC(words[i]) == thread->oracle[i];
	stacks++;
	frames += (unsigned long)thread->expected;
	cut += (walk.flags & MA_STACK_NATIVE_CUT) != 0;
	differing += !same;
	if (!same)
		tell(thread, words, found, walk.flags);
	thread->expected = NOT_YET;
}

static struct thread *find(pid_t tid)
{
	for (size_t i = 0; i < thread_count; i++)
		if (threads[i].tid == tid)
			return &threads[i];
	return NULL;
}

static void on_stop(struct thread *thread, int status)
{
	struct ma_regs regs;
	int signal = WSTOPSIG(status);

	if (status >> 16 == PTRACE_EVENT_STOP) {
		ptrace(PTRACE_CONT, thread->tid, 0, 0);
		return;
	}
	if (signal == SIGTRAP && !ptrace(PTRACE_GETREGS, thread->tid, 0, &regs.raw)) {
		if (thread->expected == NOT_YET && regs.raw.rip == entry)
			begin(thread, &regs);
		else if (thread->expected != NOT_YET)
			end(thread);
		signal = 0;
	}
	ptrace(PTRACE_CONT, thread->tid, 0, signal);
}

static bool seize_all(pid_t pid)
{
	pid_t *tids;
	size_t count;

	if (ma_proc_tasks(pid, &tids, &count, NULL))
		return false;
	for (size_t i = 0; i < count && thread_count < THREADS; i++) {
		struct thread *thread = &threads[thread_count];
		int status;

		if (ptrace(PTRACE_SEIZE, tids[i], 0, 0) ||
		    ptrace(PTRACE_INTERRUPT, tids[i], 0, 0) ||
		    waitpid(tids[i], &status, __WALL) < 0)
			continue;
		*thread = (struct thread){
			.tid = tids[i],
			.expected = NOT_YET,
			.oracle = malloc(MA_WALK_FRAMES * sizeof(uint64_t)),
		};
		if (!thread->oracle || !set_breakpoint(tids[i], entry))
			return false;
		thread_count++;
		ptrace(PTRACE_CONT, tids[i], 0, 0);
	}
	free(tids);
	return thread_count > 0;
}

/* Has this stopped thread a trap of ours that it was not told of yet? It would end the target. */
static bool is_trap_pending(pid_t tid)
{
	struct ma_proc_status status;

	return !ma_proc_status_read(view.pid, tid, &status, NULL) &&
	       (status.signals_pending >> (SIGTRAP - 1) & 1);
}

/* Gives a thread back, without a breakpoint. */
static void release(struct thread *thread)
{
	int status;

	while (!thread->gone) {
		int signal = 0;

		ptrace(PTRACE_INTERRUPT, thread->tid, 0, 0);
		if (waitpid(thread->tid, &status, __WALL) < 0 || !WIFSTOPPED(status))
			return;
		set_breakpoint(thread->tid, 0);
		if (status >> 16 != PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP)
			signal = WSTOPSIG(status);
		if (status >> 16 == PTRACE_EVENT_STOP && !is_trap_pending(thread->tid)) {
			ptrace(PTRACE_DETACH, thread->tid, 0, 0);
			return;
		}
		ptrace(PTRACE_CONT, thread->tid, 0, signal);
	}
}

int main(int count, char **arguments)
{
	pid_t pid = count == 5 ? atoi(arguments[1]) : 0;
	unsigned long wanted = pid ? strtoul(arguments[3], NULL, 0) : 0;
	uint64_t deadline = pid ? ma_clock_ns() + strtoul(arguments[4], NULL, 0) * MA_NS_PER_S : 0;

	if (!pid) {
		fputs("native_oracle PID OFFSET STACKS SECONDS\n", stderr);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	view.pidfd = -1;
	view.memory.fd = -1;
	if (!look(pid))
		return 1;
	entry = hook_start + strtoul(arguments[2], NULL, 0);
	if (!seize_all(pid)) {
		fprintf(stderr, "tracing %d: %s\n", pid, strerror(errno));
		return 1;
	}
	while (stacks < wanted && ma_clock_ns() < deadline) {
		int status;
		pid_t tid = waitpid(-1, &status, __WALL | WNOHANG);
		struct thread *thread = tid > 0 ? find(tid) : NULL;

		if (tid < 0)
			break;
		if (!tid)
			ma_clock_pause(20 * MA_NS_PER_US);
		else if (thread && WIFSTOPPED(status))
			on_stop(thread, status);
		else if (thread)
			thread->gone = true;
	}
	for (size_t i = 0; i < thread_count; i++)
		release(&threads[i]);
	printf("stacks %lu frames %lu cut %lu differing %lu unjudged %lu\n", stacks, frames, cut,
	       differing, unjudged);
	return 0;
}
