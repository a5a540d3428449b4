/* SPDX-License-Identifier: MIT */
/*
 * Where a thread's stacks are. The mapping around the stack pointer is not enough: glibc from 2.42
 * on keeps guard pages within one mapping, so that the kernel merges the stacks of many threads;
 * and a handler may run on another stack than the code that it interrupted.
 */
#ifndef MA_INJECT_THREAD_STACKS_H
#define MA_INJECT_THREAD_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/maps.h"
#include "inject/safe_point.h"

enum { MA_THREAD_STACKS = 2 };

/*
 * Fills what has to be looked at for a way back: the stack from sp on and, when that is another
 * one, the thread's normal stack, all of it. Each ends at the thread's control block
 * (thread_pointer, or an address within it) where that lies above it. first: the process's first
 * thread, whose normal stack is [stack]. Too much rather than too little: guard pages and foreign
 * stacks may be included. Returns how many; 0 when sp is in no mapping.
 */
int ma_thread_stacks_find(const struct ma_maps *maps, uint64_t sp, uint64_t thread_pointer,
			  bool first, struct ma_range stacks[MA_THREAD_STACKS]);

#endif
