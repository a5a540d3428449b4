/* SPDX-License-Identifier: MIT */
/* Gate, re-entrancy and lease. */
#include "inject/hook/gate.h"

#include "inject/hook/tables.h"

enum {
	REFUSALS = 255,              /* visits in a row; then what they met was left behind */
	VISIT_TICKS_LIMIT = 1 << 18, /* of the time-stamp counter: about 0.1 ms */
};

/* Is another visit of this thread at work, further up the stack? */
static bool is_nested(struct ma_tls *tls, uint64_t here)
{
	if (ma_tls_is_shared(tls))
		return true;
	if (here >= tls->inside || tls->refused == REFUSALS)
		return false;
	tls->refused++;
	ma_counter_add(&ma_hook.area->counters.reentered, 1);
	return true;
}

bool ma_gate_enter(struct ma_visit *visit, bool timed)
{
	struct ma_tls *tls = ma_tls();
	uint64_t here = (uint64_t)(uintptr_t)visit;

	if (!ma_gate_on())
		return false;
	*visit = (struct ma_visit){
		.tls = tls,
		.ticks = timed ? ma_cpu_ticks() : 0,
		.tid = ma_tls_thread_id(),
		.nested = is_nested(tls, here),
		.left_behind = !tls->inside,
	};
	if (visit->nested)
		return true;
	tls->inside = here;
	tls->refused = 0;
	ma_tls_settle(tls, visit->tid);
	return true;
}

/* What a visit took. More than the limit is not ours: the thread was not running meanwhile. */
static uint64_t ticks_since(uint64_t ticks)
{
	uint64_t taken = ma_cpu_ticks() - ticks;

	return taken < VISIT_TICKS_LIMIT ? taken : VISIT_TICKS_LIMIT;
}

void ma_gate_leave(const struct ma_visit *visit)
{
	if (visit->ticks)
		ma_counter_add(&ma_hook.area->counters.slow_cycles, ticks_since(visit->ticks));
	if (!visit->nested)
		visit->tls->inside = 0;
}

bool ma_gate_wanted(void)
{
	struct ma_area *area = ma_hook.area;
	uint64_t lease = __atomic_load_n(&area->control.lease_tsc, __ATOMIC_RELAXED);
	uint64_t *fault = &area->counters.fault;
	bool lapsed = ma_cpu_ticks() > lease;
	uint64_t told = __atomic_load_n(fault, __ATOMIC_RELAXED);

	if (lapsed && told == MA_FAULT_NONE)
		__atomic_store_n(fault, MA_FAULT_LEASE, __ATOMIC_RELAXED);
	if (!lapsed && told == MA_FAULT_LEASE)
		__atomic_store_n(fault, MA_FAULT_NONE, __ATOMIC_RELAXED);
	return !lapsed && __atomic_load_n(&area->control.enabled, __ATOMIC_RELAXED);
}
