/* SPDX-License-Identifier: MIT */
/* One line that is typed: text, cursor, and the keys that change them. */
#ifndef MA_CLI_LIVE_EDIT_H
#define MA_CLI_LIVE_EDIT_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/live/keys.h"

enum { MA_EDIT_BYTES = 512 };

/* Embedded. text is valid UTF-8. */
struct ma_edit {
	char text[MA_EDIT_BYTES];
	size_t cursor; /* in bytes, between signs */
};

/* Begins with this text and the cursor behind it. */
void ma_edit_begin(struct ma_edit *edit, const char *text);

/* Takes a key. Returns whether the text changed; keys that mean nothing here are ignored. */
bool ma_edit_key(struct ma_edit *edit, const struct ma_key *key);

#endif
