/* SPDX-License-Identifier: MIT */
/* The growing text buffer; see text.h. */
#include "cli/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc.h"

static void reserve(struct ma_text *text, size_t more)
{
	size_t needed = text->length + more + 1;
	if (needed <= text->room)
		return;
	size_t room = text->room ? text->room : 256;
	while (room < needed)
		room *= 2;
	text->data = ma_alloc_grow(text->data, room, 1);
	text->room = room;
}

void ma_text_add_bytes(struct ma_text *text, const char *bytes, size_t count)
{
	reserve(text, count);
	memcpy(text->data + text->length, bytes, count);
	text->length += count;
	text->data[text->length] = '\0';
}

void ma_text_add(struct ma_text *text, const char *string)
{
	ma_text_add_bytes(text, string, strlen(string));
}

void ma_text_addf(struct ma_text *text, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int length = vsnprintf(NULL, 0, format, ap);
	va_end(ap);
	if (length < 0)
		return;
	reserve(text, (size_t)length);
	va_start(ap, format);
	vsnprintf(text->data + text->length, (size_t)length + 1, format, ap);
	va_end(ap);
	text->length += (size_t)length;
}

void ma_text_repeat(struct ma_text *text, char character, size_t count)
{
	reserve(text, count);
	memset(text->data + text->length, character, count);
	text->length += count;
	text->data[text->length] = '\0';
}

const char *ma_text_string(const struct ma_text *text)
{
	return text->data ? text->data : "";
}

void ma_text_fini(struct ma_text *text)
{
	free(text->data);
	*text = (struct ma_text){0};
}
