/* SPDX-License-Identifier: MIT */
/* Thread slots of the shared area: the first threads that allocate are told apart. */
#ifndef MA_HOOK_THREADS_H
#define MA_HOOK_THREADS_H

#include <stdint.h>

#include "proto/area.h"

/*
 * The slot of thread `tid`: the one that carries its id already, else a free one, else 0, "(other
 * threads)". Lock-free; any thread, for itself.
 */
__attribute__((visibility("hidden"))) uint8_t
ma_threads_slot(struct ma_thread threads[MA_THREAD_SLOTS], uint32_t tid);

#endif
