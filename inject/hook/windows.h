/* SPDX-License-Identifier: MIT */
/*
 * Random windows. Where the mere way through the hook costs more than may be spent, most of
 * Python's small objects are allocated without us: the daemon cuts time into windows, each open
 * with a chance of its own (MA_WINDOW, proto/area.h), and while one is closed, the words of
 * Python's tables that allocate hold the interpreter's own functions.
 *
 * A program's table may be changed from inside only. From outside nobody can compare and exchange
 * the word, and would sooner or later overwrite what the program has put there meanwhile
 * (tracemalloc.start()). So the process turns by itself to the window that the daemon wants, when
 * it next frees or reallocates memory through us, which it does in any window.
 *
 * That is without bias. Whether an allocation is seen depends on the window in which the last such
 * call before it fell. These calls come when they come, whatever is open, and at any fixed time
 * a window is open with its chance, independently of all others. A window that found no such call
 * never happened; one that is longer than the daemon meant it is still one, and is recorded as one.
 */
#ifndef MA_HOOK_WINDOWS_H
#define MA_HOOK_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/hook/state.h"

/* The window that the process has turned to last. Any thread. */
static inline uint64_t ma_windows_now(void)
{
	return __atomic_load_n(&ma_hook.window, __ATOMIC_RELAXED);
}

/* Does the daemon want another one? */
static inline bool ma_windows_are_due(void)
{
	const uint64_t *wanted = &ma_hook.area->control.window;

	return __builtin_expect(__atomic_load_n(wanted, __ATOMIC_RELAXED) != ma_windows_now(), 0);
}

/* Turns to the window that the daemon wants. Any thread, signal handlers too. */
MA_HIDDEN __attribute__((cold)) void ma_windows_turn(void);

/* No thread turns from now on, nor is in the middle of it. For ma_hook_stop. */
MA_HIDDEN void ma_windows_stop(void);

#endif
