/* SPDX-License-Identifier: MIT */
/* See windows.h. */
#include "inject/hook/windows.h"

#include "inject/hook/cpu.h"
#include "inject/hook/gate.h"
#include "inject/hook/python_tables.h"

enum {
	STOPPED = 1,                 /* `turning`: for good */
	LEFT_BEHIND_TICKS = 1 << 30, /* about 0.3 s: whoever turns for so long does not live */
	STOP_SPINS = 1 << 20,
};

/* Takes the right to turn, which is a time-stamp: its holder may have died (a child of vfork). */
static bool take(uint64_t mine)
{
	uint64_t holder = __atomic_load_n(&ma_hook.turning, __ATOMIC_RELAXED);

	/* It may have taken it after we looked at the clock. */
	if (holder == STOPPED || (holder && (int64_t)(mine - holder) < LEFT_BEHIND_TICKS))
		return false;
	return __atomic_compare_exchange_n(&ma_hook.turning, &holder, mine, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

/* Not if it was taken from us meanwhile. */
static void give_back(uint64_t mine)
{
	__atomic_compare_exchange_n(&ma_hook.turning, &mine, 0, false, __ATOMIC_RELEASE,
				    __ATOMIC_RELAXED);
}

void ma_windows_turn(void)
{
	struct ma_area *area = ma_hook.area;
	uint64_t wanted = __atomic_load_n(&area->control.window, __ATOMIC_RELAXED);
	uint64_t mine = ma_cpu_ticks() | STOPPED << 1;

	/* A child of fork, whose tables stay as they were: nothing is recorded there. */
	if (!ma_gate_on()) {
		__atomic_store_n(&ma_hook.window, wanted, __ATOMIC_RELAXED);
		return;
	}
	if (!take(mine))
		return;
	if (ma_hook.config->promotes)
		ma_python_tables_turn(!(wanted & MA_WINDOW_CLOSED));
	__atomic_store_n(&ma_hook.window, wanted, __ATOMIC_RELAXED);
	__atomic_store_n(&area->counters.window, wanted, __ATOMIC_RELAXED);
	give_back(mine);
}

void ma_windows_stop(void)
{
	uint64_t free = 0;

	for (int i = 0; i < STOP_SPINS; i++) {
		if (__atomic_compare_exchange_n(&ma_hook.turning, &free, STOPPED, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		free = 0;
		ma_cpu_pause();
	}
	__atomic_store_n(&ma_hook.turning, STOPPED, __ATOMIC_RELEASE);
}
