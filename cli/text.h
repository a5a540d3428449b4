/* SPDX-License-Identifier: MIT */
/*
 * A growing buffer of text. Everything that a command prints on stdout is put together here first,
 * so that views are pure functions and output is one write.
 */
#ifndef MA_CLI_TEXT_H
#define MA_CLI_TEXT_H

#include <stddef.h>

/* Embedded; all zero is the empty text. `data` is always terminated once anything was added. */
struct ma_text {
	char *data;
	size_t length;
	size_t room;
};

void ma_text_add(struct ma_text *text, const char *string);
void ma_text_add_bytes(struct ma_text *text, const char *bytes, size_t count);
void ma_text_addf(struct ma_text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void ma_text_repeat(struct ma_text *text, char character, size_t count);

/* The text as a string, "" when empty. Borrowed, until the next change. */
const char *ma_text_string(const struct ma_text *text);

/* Gives the memory back and leaves the empty text. */
void ma_text_fini(struct ma_text *text);

#endif
