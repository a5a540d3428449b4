/* SPDX-License-Identifier: MIT */
/* See notes.h. */
#include "daemon/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/text.h"

void ma_notes_add(struct ma_notes *notes, uint64_t time_ns, const char *format, ...)
{
	char raw[MA_NOTE_BYTES];
	struct ma_note note = {.time_ns = time_ns};
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(raw, sizeof raw, format, arguments);
	va_end(arguments);
	ma_text_from_bytes(note.text, sizeof note.text, raw, strlen(raw));
	for (uint32_t i = 0; i < notes->count; i++) {
		if (strcmp(notes->notes[i].text, note.text) == 0)
			return;
	}
	if (notes->count == MA_NOTES) {
		memmove(&notes->notes[0], &notes->notes[1], (MA_NOTES - 1) * sizeof note);
		notes->count--;
	}
	notes->notes[notes->count++] = note;
}
