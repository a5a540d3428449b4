/* SPDX-License-Identifier: MIT */
/* Gate, re-entrancy and lease. */
#include "inject/hook/gate.h"

#include "inject/hook/tables.h"

enum {
	REFUSALS = 255,              /* visits in a row; then what they met was left behind */
	VISIT_TICKS_LIMIT = 1 << 18, /* of the time-stamp counter: about 0.1 ms */
};

bool ma_gate_is_nested(struct ma_tls *tls)
{
	if (ma_tls_is_shared(tls))
		return true;
	if (tls->refused == REFUSALS)
		return false;
	tls->refused++;
	ma_counter_add(&ma_hook.area->counters.reentered, 1);
	return true;
}

bool ma_gate_enter(struct ma_visit *visit, bool timed)
{
	return ma_gate_begin(visit, timed);
}

/* What a visit took. More than the limit is not ours: the thread was not running meanwhile. */
static uint64_t ticks_since(uint64_t ticks)
{
	uint64_t taken = ma_cpu_ticks() - ticks;

	return taken < VISIT_TICKS_LIMIT ? taken : VISIT_TICKS_LIMIT;
}

void ma_gate_count(uint64_t ticks)
{
	ma_counter_add(&ma_hook.area->counters.slow_cycles, ticks_since(ticks));
}

void ma_gate_leave(const struct ma_visit *visit)
{
	ma_gate_end(visit);
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
