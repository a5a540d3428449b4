/* SPDX-License-Identifier: MIT */
/*
 * What every slow path passes on its way in and out: is the hook on in this process, is this thread
 * in the hook already, and does the daemon still want the data.
 */
#ifndef MA_HOOK_GATE_H
#define MA_HOOK_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/hook/state.h"
#include "inject/hook/tls.h"

/*
 * While nobody wants data, a thread asks again after so many bytes; while the gate is closed,
 * sooner: asking costs less, and a thread may come just before it opens.
 */
enum { MA_RECHECK_BYTES = 1 << 20, MA_RECHECK_CLOSED_BYTES = 4096 };

/* One stay in a slow path; lives on the stack of the function that began it. */
struct ma_visit {
	struct ma_tls *tls;
	uint64_t ticks;   /* when it began; 0 = not timed */
	uint32_t tid;     /* of this thread, not 0 */
	bool nested;      /* another visit of this thread may be at work up the stack */
	bool left_behind; /* none is: what carries this thread's id was left behind */
};

/* The gate page reads 0 in a child made by fork, where nothing else of ours may be touched. */
static inline bool ma_gate_on(void)
{
	return __atomic_load_n(ma_hook.gate, __ATOMIC_RELAXED) != 0;
}

/* Milliseconds since the attach, as the daemon last said. */
static inline uint32_t ma_clock_ms(void)
{
	return __atomic_load_n(&ma_hook.area->control.clock_ms, __ATOMIC_RELAXED);
}

/*
 * Begins a visit. False when the gate is closed; then there is nothing to end. `inside` of the
 * thread holds the stack address of the visit that is at work. Stacks grow down: a visit at a
 * higher address is at work still, and we are nested in it (a signal handler allocates); one at a
 * lower address was left behind, by siglongjmp or by a vfork child that was killed. One that was
 * left behind at a higher address is noticed after some hundred visits.
 */
MA_HIDDEN bool ma_gate_enter(struct ma_visit *visit, bool timed);
MA_HIDDEN void ma_gate_leave(const struct ma_visit *visit);

/* What a visit does that is not mostly: with something else of this thread at work; timed. */
MA_HIDDEN __attribute__((cold)) bool ma_gate_is_nested(struct ma_tls *tls);
MA_HIDDEN __attribute__((cold)) void ma_gate_count(uint64_t ticks);

/* The two, for where each instruction counts. */
static inline __attribute__((always_inline)) bool ma_gate_begin(struct ma_visit *visit, bool timed)
{
	uint64_t here = ma_cpu_stack_pointer();
	struct ma_tls *tls = ma_tls();

	if (!ma_gate_on())
		return false;
	visit->tls = tls;
	visit->ticks = timed ? ma_cpu_ticks() : 0;
	visit->tid = ma_tls_thread_id();
	visit->left_behind = !tls->inside;
	visit->nested = false;
	if (__builtin_expect(ma_tls_is_shared(tls) || here < tls->inside, 0)) {
		visit->nested = ma_gate_is_nested(tls);
		if (visit->nested)
			return true;
	}
	tls->inside = here;
	tls->refused = 0;
	ma_tls_settle(tls, visit->tid);
	return true;
}

static inline __attribute__((always_inline)) void ma_gate_end(const struct ma_visit *visit)
{
	if (__builtin_expect(visit->ticks != 0, 0))
		ma_gate_count(visit->ticks);
	if (!visit->nested)
		visit->tls->inside = 0;
}

/*
 * Begins a visit as most are, where the gate is open: nothing of this thread is at work, and its
 * state is set up. NULL: it is not so, and nothing has begun; ma_gate_begin says what it is. The
 * thread's id is in the state. Ends with ma_gate_end_plain.
 */
static inline __attribute__((always_inline)) struct ma_tls *ma_gate_begin_plain(void)
{
	struct ma_tls *tls = ma_tls();
	uint64_t thread = ma_cpu_thread_pointer();

	if (ma_tls_is_shared(tls) || tls->inside || tls->generation != ma_hook.generation ||
	    tls->tid != *(const uint32_t *)(thread + ma_hook.tid_offset))
		return NULL;
	tls->inside = ma_cpu_stack_pointer();
	tls->refused = 0;
	return tls;
}

static inline __attribute__((always_inline)) void ma_gate_end_plain(struct ma_tls *tls)
{
	tls->inside = 0;
}

/* Is recording switched on, and the daemon alive? Says so in counters.fault when that changes. */
MA_HIDDEN bool ma_gate_wanted(void);

#endif
