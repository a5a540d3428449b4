/* SPDX-License-Identifier: MIT */
/* Keys and clicks as the terminal sends them; ncurses knows its dialect. */
#ifndef MA_CLI_LIVE_INPUT_H
#define MA_CLI_LIVE_INPUT_H

#include <stdbool.h>

#include "cli/live/keys.h"

/* Once, when the screen is open. */
void ma_input_begin(void);

/* Reads one key if there is one. Returns whether there was; keys that mean nothing to anybody are
 * MA_KEY_NONE. Never waits (for more than the rest of a key's sequence). */
bool ma_input_read(struct ma_key *key);

#endif
