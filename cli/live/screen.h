/* SPDX-License-Identifier: MIT */
/*
 * The terminal as a full screen: set up, resized, suspended, given back. It works with what it
 * finds: a terminfo database or none (cli/live/terminfo.h), colours or none, UTF-8 or ASCII.
 */
#ifndef MA_CLI_LIVE_SCREEN_H
#define MA_CLI_LIVE_SCREEN_H

#include <stdbool.h>

#include "cli/options.h"
#include "proto/error.h"

enum { MA_SCREEN_LEAST_ROWS = 15, MA_SCREEN_LEAST_COLUMNS = 60 };

struct ma_screen {
	int rows;
	int columns;
	bool utf8;
	int key_fd;    /* readable when a key was pressed */
	int signal_fd; /* readable when cli/live/guard.h has noted something */
};

/* Can a full screen be shown at all: stdout is a terminal, there is one to read keys from, and it
 * is not a dumb one? */
bool ma_screen_possible(void);

/* Takes the terminal over. 0 or MA_ERR_FAILED. Always followed by ma_screen_close on success. */
int ma_screen_open(struct ma_screen *screen, enum ma_color color, struct ma_error *error);

/* Looks how large the terminal is now. Returns whether that changed. */
bool ma_screen_resize(struct ma_screen *screen);

/* Gives the terminal back for as long as the program is stopped (Ctrl-Z). */
void ma_screen_suspend(struct ma_screen *screen);

/* Draws everything anew with the next frame: something else has written on the terminal. */
void ma_screen_repaint(struct ma_screen *screen);

/* Gives it back for good. */
void ma_screen_close(struct ma_screen *screen);

#endif
