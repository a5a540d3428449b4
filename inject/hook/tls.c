/* SPDX-License-Identifier: MIT */
/* Per-thread state: the storage of both builds, and what a thread's first slow path sets up. */
#include "inject/hook/tls.h"

#include "inject/hook/sampler.h"
#include "inject/hook/threads.h"

void ma_tls_begin(struct ma_tls *tls, uint32_t tid)
{
	uint64_t seed = ma_cpu_thread_pointer() ^ ma_cpu_ticks() << 20;

	tls->tid = tid;
	tls->slot = ma_threads_slot(ma_hook.area->threads, tid);
	tls->random = ma_sampler_random(&seed);
	tls->interval = 0;
	tls->left = 0;
	tls->generation = ma_hook.generation;
}

#if MA_HOOK_TP_SLOTS

enum { PROBES = 64 };

struct ma_tls_slot ma_tls_slots[MA_TLS_SLOTS];
struct ma_tls ma_tls_shared;

struct ma_tls *ma_tls_claim(uint64_t thread_pointer)
{
	uint64_t home = ma_tls_home(thread_pointer);

	for (uint64_t probe = 0; probe < PROBES; probe++) {
		struct ma_tls_slot *slot = &ma_tls_slots[(home + probe) % MA_TLS_SLOTS];
		uint64_t owner = __atomic_load_n(&slot->thread_pointer, __ATOMIC_RELAXED);

		if (owner == thread_pointer)
			return &slot->tls;
		if (!owner &&
		    __atomic_compare_exchange_n(&slot->thread_pointer, &owner, thread_pointer,
						false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			return &slot->tls;
	}
	return &ma_tls_shared;
}

#else

__thread struct ma_tls ma_tls_block;

#endif
