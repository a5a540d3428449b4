/* SPDX-License-Identifier: MIT */
/*
 * Claims of thread slots. A thread asks once; its slot is kept for the life of the attach, and goes
 * to a later thread only if that one gets the same id from the kernel.
 */
#include "inject/hook/threads.h"

#include <stdbool.h>

uint8_t ma_threads_slot(struct ma_thread threads[MA_THREAD_SLOTS], uint32_t tid)
{
	for (uint8_t slot = 1; slot < MA_THREAD_SLOTS; slot++)
		if (__atomic_load_n(&threads[slot].tid, __ATOMIC_RELAXED) == tid)
			return slot;
	for (uint8_t slot = 1; slot < MA_THREAD_SLOTS; slot++) {
		uint32_t nobody = 0;

		if (__atomic_compare_exchange_n(&threads[slot].tid, &nobody, tid, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return slot;
	}
	return 0;
}
