/* SPDX-License-Identifier: MIT */
/*
 * Random windows, the daemon's side (inject/hook/windows.h says what they are): throws the coin of
 * each window, and sees whether the process turns to them. How often they are to be open is the
 * governor's business.
 */
#ifndef MA_DAEMON_WINDOWS_H
#define MA_DAEMON_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

enum {
	MA_WINDOW_MS = 2,             /* the length of a window, at least */
	MA_WINDOWS_PATIENCE_MS = 500, /* for a process that does not turn */
};

/* Zero-initialise, then use. */
struct ma_windows {
	uint64_t random;      /* state of the coins; 0 = not seeded */
	uint64_t wanted;      /* MA_WINDOW: the newest */
	uint64_t seen;        /* what the process had turned to when we last looked */
	uint64_t answered_ms; /* when it was last found to turn */
};

/*
 * The window that begins now, milliseconds since the attach (not 0, and more than at the last
 * call), open with the chance 2^-exponent: what belongs into the control page. seen: what the
 * counters' page says. While the process does not turn, which it does when it frees memory, all
 * windows are open: one that is idle is not to stay closed. Daemon loop.
 */
uint64_t ma_windows_next(struct ma_windows *windows, uint32_t now_ms, uint32_t exponent,
			 uint64_t seen);

#endif
