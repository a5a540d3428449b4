/* SPDX-License-Identifier: MIT */
/*
 * What the hook asks of the processor itself: time stamps, the polite way to spin, adding, and
 * the stack and thread pointers. x86-64 (System V ABI for thread-local storage: the word at %fs:0
 * is its own address, and pthread_self() is that address under glibc and musl alike). Any thread,
 * any state.
 */
#ifndef MA_HOOK_CPU_H
#define MA_HOOK_CPU_H

#include <stdint.h>

static inline uint64_t ma_cpu_ticks(void)
{
	return __builtin_ia32_rdtsc();
}

static inline void ma_cpu_pause(void)
{
	__builtin_ia32_pause();
}

/* Adds to a word that only one thread at a time changes; whoever reads it sees it whole. */
static inline void ma_cpu_add(uint64_t *word, uint64_t amount)
{
	__asm__("addq %1, %0" : "+m"(*word) : "er"(amount) : "cc");
}

/* Where the calling function's frame ends. */
static inline uint64_t ma_cpu_stack_pointer(void)
{
	uint64_t pointer;

	__asm__("mov %%rsp, %0" : "=r"(pointer));
	return pointer;
}

/* pthread_self() of this thread; also where its thread control block starts. */
static inline uint64_t ma_cpu_thread_pointer(void)
{
	uint64_t pointer;

	__asm__("mov %%fs:0, %0" : "=r"(pointer));
	return pointer;
}

#endif
