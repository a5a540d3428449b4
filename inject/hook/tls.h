/* SPDX-License-Identifier: MIT */
/*
 * What the hook keeps for each thread. Two builds: initial-exec thread-local storage, at most 64
 * bytes of the small surplus that a C library keeps for libraries loaded late; and, where that is
 * not to be had (musl, or the surplus is used up), slots found by the thread pointer.
 *
 * Zeroed memory is a valid start: `left` 0 sends the thread's first allocation to the slow path,
 * where `generation` 0 tells that nothing was set up yet.
 */
#ifndef MA_HOOK_TLS_H
#define MA_HOOK_TLS_H

#include <stdint.h>

#include "inject/hook/cpu.h"
#include "inject/hook/state.h"

struct ma_tls {
	uint64_t left;     /* bytes (or cost) until the next sample; never more than was drawn */
	uint64_t served;   /* block that the malloc layer handed out last */
	uint64_t inside;   /* stack address of the hook frame that is at work; 0 = none */
	uint64_t in_arena; /* the same of a call to Python's arena allocator */
	uint64_t random;   /* state of the random numbers */
	uint32_t interval; /* R of the draw in `left`, by size class 1; 0 = none is in force */
	uint32_t tid;
	uint32_t generation;
	uint8_t slot;    /* thread slot */
	uint8_t refused; /* visits in a row that found another one at work */
	uint8_t dirty;   /* dlopen was called: objects may be new */
	uint8_t untimed; /* visits since one was timed, exact mode */
};

_Static_assert(sizeof(struct ma_tls) <= 64, "the surplus of static thread-local storage is small");

#if MA_HOOK_TP_SLOTS

enum { MA_TLS_SLOTS = 4096, MA_TLS_SHIFT = 64 - 12 };

struct ma_tls_slot {
	uint64_t thread_pointer; /* 0 = free */
	struct ma_tls tls;
};

extern struct ma_tls_slot ma_tls_slots[MA_TLS_SLOTS] MA_HIDDEN;

static inline uint64_t ma_tls_home(uint64_t thread_pointer)
{
	return thread_pointer * UINT64_C(0x9E3779B97F4A7C15) >> MA_TLS_SHIFT;
}

/*
 * The slot of a thread pointer that is not in its home slot; claims one when there is none. A slot
 * stays with its thread pointer, which the C library gives to one thread after the other. When all
 * are taken: one slot that such threads share, in which nothing is ever sampled.
 */
MA_HIDDEN struct ma_tls *ma_tls_claim(uint64_t thread_pointer);

static inline struct ma_tls *ma_tls(void)
{
	uint64_t thread_pointer = ma_cpu_thread_pointer();
	struct ma_tls_slot *home = &ma_tls_slots[ma_tls_home(thread_pointer)];

	if (__builtin_expect(home->thread_pointer == thread_pointer, 1))
		return &home->tls;
	return ma_tls_claim(thread_pointer);
}

extern struct ma_tls ma_tls_shared MA_HIDDEN;

/* Is this the slot that threads share for want of one of their own? */
static inline bool ma_tls_is_shared(const struct ma_tls *tls)
{
	return tls == &ma_tls_shared;
}

#else

extern __thread struct ma_tls ma_tls_block MA_HIDDEN;

static inline struct ma_tls *ma_tls(void)
{
	return &ma_tls_block;
}

static inline bool ma_tls_is_shared(const struct ma_tls *tls)
{
	(void)tls;
	return false;
}

#endif

/*
 * The calling thread's id; never 0. Read at its offset in the thread control block. Without a known
 * offset: something that differs between threads and has bit 31 set, which no thread id has, so
 * that the reader of the area does not take it for the id of a thread that is gone.
 */
static inline uint32_t ma_tls_thread_id(void)
{
	uint64_t thread_pointer = ma_cpu_thread_pointer();
	uint32_t tid = 0;

	if (ma_hook.tid_offset)
		tid = *(const uint32_t *)(thread_pointer + ma_hook.tid_offset);
	return tid ? tid : (uint32_t)(thread_pointer >> 6) | UINT32_C(1) << 31;
}

/* Makes the thread's state new: thread slot, random numbers; no draw in force. */
MA_HIDDEN void ma_tls_begin(struct ma_tls *tls, uint32_t tid);

/*
 * Makes the thread's state one of this attach and of thread `tid`, unless it is that already. Slow
 * paths only; not for the shared slot.
 */
static inline void ma_tls_settle(struct ma_tls *tls, uint32_t tid)
{
	if (tls->generation != ma_hook.generation || tls->tid != tid)
		ma_tls_begin(tls, tid);
}

#endif
