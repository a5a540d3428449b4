/* SPDX-License-Identifier: MIT */
/* What a session has to say to people: notices of the attach and what came up since. Bounded; the
 * same sentence is kept once, with the time when it was first true. */
#ifndef MA_DAEMON_NOTES_H
#define MA_DAEMON_NOTES_H

#include <stdint.h>

enum { MA_NOTES = 32, MA_NOTE_BYTES = 400 };

struct ma_note {
	uint64_t time_ns; /* CLOCK_REALTIME */
	char text[MA_NOTE_BYTES];
};

/* Zero-initialise, then use. Oldest first. */
struct ma_notes {
	struct ma_note notes[MA_NOTES];
	uint32_t count;
};

/* Adds a note; when full, the oldest goes. */
void ma_notes_add(struct ma_notes *notes, uint64_t time_ns, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a sentence whose end changes: it takes the place of the one with the same head. */
void ma_notes_update(struct ma_notes *notes, uint64_t time_ns, const char *head, const char *format,
		     ...) __attribute__((format(printf, 4, 5)));

#endif
