/* SPDX-License-Identifier: MIT */
/*
 * Whatever ends the program, the terminal is as it was: signals that ask it to leave are noted for
 * the loop, and ones that end it here and now (a crash, the second request to leave) put the
 * terminal back first, by writing what was prepared before.
 */
#ifndef MA_CLI_LIVE_GUARD_H
#define MA_CLI_LIVE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

enum { MA_GUARD_BYTES = 256 };

/* How to put a terminal back. */
struct ma_guard_terminal {
	int fd;
	struct termios modes;
	char text[MA_GUARD_BYTES]; /* what switches everything off */
	size_t bytes;
};

/* Installs the handlers. terminal is copied. The descriptor returned becomes readable when a signal
 * was noted; -1: no pipe to be had. */
int ma_guard_begin(const struct ma_guard_terminal *terminal);

/* What was noted since it was last asked. */
struct ma_guard_signals {
	bool leave;
	bool resized;
	bool suspend;
};
struct ma_guard_signals ma_guard_take(void);

/* Nothing is to be put back any more; signals are as before ma_guard_begin. */
void ma_guard_end(void);

/* Puts the terminal back at once, and may be called at any time, from anywhere. Twice is fine. */
void ma_guard_restore(void);

#endif
