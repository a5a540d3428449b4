/* SPDX-License-Identifier: MIT */
/* See notes.h. */
#include "daemon/notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "daemon/text.h"

/* A new one at the end; when full, the oldest goes. */
static struct ma_note *append(struct ma_notes *notes, uint64_t time_ns)
{
	if (notes->count == MA_NOTES) {
		memmove(&notes->notes[0], &notes->notes[1],
			(MA_NOTES - 1) * sizeof notes->notes[0]);
		notes->count--;
	}
	struct ma_note *note = &notes->notes[notes->count++];
	*note = (struct ma_note){.time_ns = time_ns};
	return note;
}

void ma_notes_add(struct ma_notes *notes, uint64_t time_ns, const char *format, ...)
{
	char raw[MA_NOTE_BYTES], text[MA_NOTE_BYTES];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(raw, sizeof raw, format, arguments);
	va_end(arguments);
	ma_text_from_bytes(text, sizeof text, raw, strlen(raw));
	for (uint32_t i = 0; i < notes->count; i++) {
		if (strcmp(notes->notes[i].text, text) == 0)
			return;
	}
	memcpy(append(notes, time_ns)->text, text, sizeof text);
}

void ma_notes_update(struct ma_notes *notes, uint64_t time_ns, const char *head, const char *format,
		     ...)
{
	char raw[MA_NOTE_BYTES];
	struct ma_note *note = NULL;
	size_t length = (size_t)snprintf(raw, sizeof raw, "%s", head);
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(raw + length, sizeof raw - length, format, arguments);
	va_end(arguments);
	for (uint32_t i = 0; i < notes->count && !note; i++) {
		if (strncmp(notes->notes[i].text, head, length) == 0)
			note = &notes->notes[i];
	}
	if (!note)
		note = append(notes, time_ns);
	ma_text_from_bytes(note->text, sizeof note->text, raw, strlen(raw));
}
