/* SPDX-License-Identifier: MIT */
#include "inject/proof.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "inject/asleep.h"
#include "inject/clock.h"
#include "inject/interrupted.h"
#include "inject/thread_stacks.h"
#include "inject/tracee.h"
#include "inject/urgency.h"

enum {
	STOP_MS = 200, /* for all threads together */
	RESCANS = 64,  /* of the list of threads; a program that makes them faster wins */
	SCAN_WORDS = 1 << 13,
	PAGE = 4096,
};

/* The threads of one try. Most of a tracee is never touched, so the array is sparse memory. */
struct crowd {
	const struct ma_view *view;
	struct ma_unwinder *unwinder;
	enum ma_proof_rule rule;
	const struct ma_range *ranges;
	int range_count;
	struct ma_tracee *tracee;
	size_t count;
	size_t room;
	struct ma_asleep *asleep; /* threads that are left asleep, and are clear */
	size_t asleep_count;
	uint64_t start_ns;
	struct ma_urgency urgency;
	uint64_t words[SCAN_WORDS];
	struct ma_stack_walk walk;
};

static bool known(const struct crowd *crowd, pid_t tid)
{
	for (size_t i = crowd->count; i > 0; i--)
		if (crowd->tracee[i - 1].tid == tid)
			return true;
	for (size_t i = crowd->asleep_count; i > 0; i--)
		if (crowd->asleep[i - 1].tid == tid)
			return true;
	return false;
}

/* Threads that will never run the program's code again, or never did. */
static bool harmless(const struct crowd *crowd, pid_t tid)
{
	struct ma_proc_stat stat;

	return ma_proc_stat_read(crowd->view->pid, tid, &stat, NULL) || strchr("ZX", stat.state) ||
	       !strncmp(stat.comm, "iou-", 4);
}

/* Returns false when the thread cannot be had: somebody else traces it, or we ourselves do, because
 * it did not stop when it was asked to before. */
static bool seize_one(struct crowd *crowd, pid_t tid)
{
	struct ma_tracee *tracee = &crowd->tracee[crowd->count];
	int failed;

	if (crowd->count == crowd->room)
		return false;
	failed = ma_tracee_seize(tracee, crowd->view->pid, tid, NULL);
	if (failed)
		return failed == MA_ERR_NO_PROCESS || harmless(crowd, tid);
	crowd->count++;
	if (ma_tracee_ask(tracee, NULL))
		tracee->state = MA_TRACEE_GONE;
	return true;
}

/* Waits for those that were asked since. Returns false at one that does not stop. */
static bool await_all(struct crowd *crowd, size_t *awaited, struct ma_proof_result *result)
{
	uint64_t deadline = crowd->start_ns + STOP_MS * MA_NS_PER_MS;

	for (; *awaited < crowd->count; (*awaited)++) {
		struct ma_tracee *tracee = &crowd->tracee[*awaited];

		if (tracee->state == MA_TRACEE_GONE)
			continue;
		if (ma_tracee_await_stop(tracee, deadline, NULL) == MA_ERR_UNSAFE ||
		    (tracee->state == MA_TRACEE_STOPPED && ma_tracee_read_regs(tracee, NULL) &&
		     tracee->state != MA_TRACEE_GONE)) {
			result->tid = tracee->tid;
			return false;
		}
	}
	return true;
}

/* Stops every thread but those left asleep, those too that are made meanwhile. */
static int stop_all(struct crowd *crowd, struct ma_proof_result *result, struct ma_error *error)
{
	bool all = true;
	size_t before = SIZE_MAX;
	size_t awaited = 0;

	for (int scan = 0; scan < RESCANS && before != crowd->count && all; scan++) {
		pid_t *tids;
		size_t count;
		int failed = ma_proc_tasks(crowd->view->pid, &tids, &count, error);

		if (failed)
			return failed;
		before = crowd->count;
		for (size_t i = 0; i < count && all; i++) {
			all = known(crowd, tids[i]) || seize_one(crowd, tids[i]);
			if (!all)
				result->tid = tids[i];
		}
		free(tids);
		all = all && await_all(crowd, &awaited, result);
	}
	if (!all || before != crowd->count)
		result->verdict = MA_PROOF_IMPOSSIBLE;
	return 0;
}

static bool points_inside(const struct crowd *crowd, const uint64_t *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (int r = 0; r < crowd->range_count; r++)
			if (ma_range_has(&crowd->ranges[r], words[i]))
				return true;
	return false;
}

/* Scans [start, end). Returns false when a word points inside. Pages that cannot be read are guard
 * pages: nobody has a frame there. */
static bool scan(struct crowd *crowd, const struct ma_range *range)
{
	uint64_t at = range->start & ~UINT64_C(7);

	while (at < range->end) {
		size_t bytes = range->end - at < sizeof(crowd->words) ? (size_t)(range->end - at)
								      : sizeof(crowd->words);
		size_t got = ma_memory_read_some(&crowd->view->memory, ma_raddr(at), crowd->words,
						 bytes, NULL);

		if (points_inside(crowd, crowd->words, got / sizeof(crowd->words[0])))
			return false;
		at = got == bytes ? at + bytes : ((at + got) | (PAGE - 1)) + 1;
	}
	return true;
}

/* Does the thread's stack, walked by unwind tables, end without a frame inside? Tables of frames on
 * an alternate signal stack lead on to the normal one. */
static bool walks_outside(struct crowd *crowd, const struct ma_tracee *tracee)
{
	struct ma_stack_walk *walk = &crowd->walk;

	ma_unwinder_walk(crowd->unwinder, tracee->tid, &tracee->context.regs, walk);
	return walk->complete && !points_inside(crowd, walk->pc, (size_t)walk->count);
}

/* Does no word of the thread's stacks point inside? sp: the lowest byte in use. */
static bool stacks_are_clear(struct crowd *crowd, const struct ma_maps *maps, pid_t tid,
			     uint64_t sp, uint64_t thread_pointer)
{
	struct ma_range stacks[MA_THREAD_STACKS];
	bool first = tid == crowd->view->pid;
	int count = ma_thread_stacks_find(maps, sp, thread_pointer, first, stacks);
	bool clear = count > 0;

	for (int i = 0; i < count && clear; i++)
		clear = scan(crowd, &stacks[i]);
	return clear;
}

/* Finds the threads that need not be stopped. Nobody gets into the ranges any more, so one that
 * sleeps and whose stacks have no way back into them stays outside when it wakes. Returns false
 * when one of them may be inside. */
static bool leave_asleep(struct crowd *crowd, struct ma_proof_result *result)
{
	struct ma_maps maps = {0};
	bool clear = true;
	size_t count = 0;
	pid_t *tids = NULL;

	if (!ma_maps_read(crowd->view->pid, &maps, NULL) &&
	    !ma_proc_tasks(crowd->view->pid, &tids, &count, NULL)) {
		for (size_t i = 0; i < count && clear && crowd->asleep_count < crowd->room; i++) {
			struct ma_asleep *asleep = &crowd->asleep[crowd->asleep_count];

			if (!ma_asleep_look(crowd->view->pid, tids[i], asleep))
				continue;
			if (stacks_are_clear(crowd, &maps, tids[i],
					     asleep->sp - ma_arch.red_zone_bytes,
					     asleep->control_block)) {
				crowd->asleep_count += ma_asleep_still(asleep);
			} else if (crowd->rule == MA_PROOF_EVERY_WORD) {
				clear = false; /* most words go away by themselves */
				result->verdict = MA_PROOF_INSIDE;
				result->tid = tids[i];
				result->threads = (uint32_t)count;
			}
		}
	}
	free(tids);
	ma_maps_fini(&maps);
	return clear;
}

/* Has one that was left asleep woken up? It is nobody to be relied on any more. */
static void check_asleep(struct crowd *crowd, struct ma_proof_result *result)
{
	for (size_t i = 0; i < crowd->asleep_count && result->verdict == MA_PROOF_CLEAR; i++) {
		if (!ma_asleep_still(&crowd->asleep[i])) {
			result->verdict = MA_PROOF_INSIDE;
			result->tid = crowd->asleep[i].tid;
		}
	}
}

static bool is_clear(struct crowd *crowd, const struct ma_maps *maps,
		     const struct ma_tracee *tracee)
{
	const struct ma_regs *regs = &tracee->context.regs;
	uint64_t words[sizeof(struct user_regs_struct) / sizeof(uint64_t)];
	uint64_t sp = ma_arch.sp(regs) - ma_arch.red_zone_bytes;

	memcpy(words, &regs->raw, sizeof(words));
	if (points_inside(crowd, words, sizeof(words) / sizeof(words[0])))
		return false;
	return stacks_are_clear(crowd, maps, tracee->tid, sp, ma_arch.thread_pointer(regs)) ||
	       (crowd->rule == MA_PROOF_WALKED && walks_outside(crowd, tracee));
}

static void judge(struct crowd *crowd, struct ma_proof_result *result)
{
	struct ma_maps maps = {0};

	if (ma_maps_read(crowd->view->pid, &maps, NULL)) {
		result->verdict = MA_PROOF_IMPOSSIBLE;
		ma_maps_fini(&maps);
		return;
	}
	for (size_t i = 0; i < crowd->count && result->verdict == MA_PROOF_CLEAR; i++) {
		const struct ma_tracee *tracee = &crowd->tracee[i];

		if (tracee->state == MA_TRACEE_STOPPED && !is_clear(crowd, &maps, tracee)) {
			result->verdict = MA_PROOF_INSIDE;
			result->tid = tracee->tid;
		}
	}
	ma_maps_fini(&maps);
}

/* Lets everybody go. Threads that were let go pre-empt us, and with hundreds of busy ones the last
 * would wait for a quarter of a second; a real-time priority, where permitted, keeps us running. */
static void resume_all(struct crowd *crowd)
{
	const struct ma_view *view = crowd->view;
	size_t running = 0;

	for (size_t i = 0; i < crowd->count; i++) {
		struct ma_tracee *tracee = &crowd->tracee[i];

		if (tracee->state == MA_TRACEE_RUNNING) {
			running++;
			continue;
		}
		ma_interrupted_recheck(tracee);
		ma_tracee_detach(tracee);
	}
	/* Those that had not stopped have been asked to, and cannot be let go before they do. On a
	 * machine that has no time for us they would stand still until it has. */
	for (int patience = 0; running && patience < 2000; patience++) {
		ma_clock_pause(MA_NS_PER_MS);
		for (size_t i = 0; i < crowd->count; i++) {
			struct ma_tracee *tracee = &crowd->tracee[i];

			if (tracee->state == MA_TRACEE_RUNNING &&
			    ma_interrupted_let_go(tracee, view, crowd->unwinder))
				running--;
		}
	}
	ma_urgency_end(&crowd->urgency);
}

static int stop_and_judge(struct crowd *crowd, struct ma_proof_result *result,
			  struct ma_error *error)
{
	const struct ma_view *view = crowd->view;
	int failed;

	ma_urgency_begin(&crowd->urgency);
	crowd->start_ns = ma_clock_ns();
	failed = stop_all(crowd, result, error);
	for (size_t i = 0; i < crowd->count; i++)
		if (crowd->tracee[i].state == MA_TRACEE_STOPPED &&
		    ma_interrupted_settle(&crowd->tracee[i], view, crowd->unwinder) ==
			    MA_SETTLED_PROLONGED)
			result->prolonged = true;
	if (!failed && result->verdict == MA_PROOF_CLEAR)
		judge(crowd, result);
	if (!failed)
		check_asleep(crowd, result);
	resume_all(crowd);
	result->threads = (uint32_t)(crowd->count + crowd->asleep_count);
	result->pause_us = (uint32_t)((ma_clock_ns() - crowd->start_ns) / MA_NS_PER_US);
	return failed;
}

static void crowd_destroy(struct crowd *crowd)
{
	if (crowd) {
		free(crowd->tracee);
		free(crowd->asleep);
	}
	free(crowd);
}

static struct crowd *crowd_create(size_t room)
{
	struct crowd *crowd = calloc(1, sizeof(*crowd));

	if (!crowd)
		return NULL;
	crowd->room = room;
	crowd->tracee = calloc(room, sizeof(*crowd->tracee));
	crowd->asleep = calloc(room, sizeof(*crowd->asleep));
	if (crowd->tracee && crowd->asleep)
		return crowd;
	crowd_destroy(crowd);
	return NULL;
}

int ma_proof_try(const struct ma_view *view, struct ma_unwinder *unwinder, enum ma_proof_rule rule,
		 const struct ma_range *ranges, int range_count, struct ma_proof_result *result,
		 struct ma_error *error)
{
	struct ma_proc_status status;
	struct crowd *crowd;
	int failed = ma_proc_status_read(view->pid, 0, &status, error);

	*result = (struct ma_proof_result){.verdict = MA_PROOF_CLEAR};
	if (failed)
		return failed;
	crowd = crowd_create(status.threads * 2 + 64);
	if (!crowd)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "stopping process %d", view->pid);
	crowd->view = view;
	crowd->unwinder = unwinder;
	crowd->rule = rule;
	crowd->ranges = ranges;
	crowd->range_count = range_count;
	if (leave_asleep(crowd, result)) {
		ma_unwinder_load(unwinder);
		failed = stop_and_judge(crowd, result, error);
	}
	crowd_destroy(crowd);
	return failed;
}
