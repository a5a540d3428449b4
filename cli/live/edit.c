/* SPDX-License-Identifier: MIT */
/* Typing a line; see edit.h. */
#include "cli/live/edit.h"

#include <string.h>

enum { CONTROL_A = 1, CONTROL_D = 4, CONTROL_E = 5, CONTROL_U = 21, CONTROL_W = 23 };

void ma_edit_begin(struct ma_edit *edit, const char *text)
{
	size_t length = strlen(text);
	if (length >= sizeof edit->text)
		length = 0;
	memcpy(edit->text, text, length);
	edit->text[length] = '\0';
	edit->cursor = length;
}

static bool inside(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

static size_t sign_before(const struct ma_edit *edit)
{
	size_t at = edit->cursor;
	while (at > 0 && inside(edit->text[--at]))
		;
	return at;
}

static size_t sign_after(const struct ma_edit *edit)
{
	size_t at = edit->cursor;
	if (edit->text[at])
		at++;
	while (inside(edit->text[at]))
		at++;
	return at;
}

/* Takes out the bytes from..to; the cursor is then at from. */
static bool cut(struct ma_edit *edit, size_t from, size_t to)
{
	memmove(edit->text + from, edit->text + to, strlen(edit->text + to) + 1);
	edit->cursor = from;
	return from != to;
}

static size_t word_before(const struct ma_edit *edit)
{
	size_t at = edit->cursor;
	while (at > 0 && edit->text[at - 1] == ' ')
		at--;
	while (at > 0 && edit->text[at - 1] != ' ')
		at--;
	return at;
}

static bool insert(struct ma_edit *edit, uint32_t c)
{
	char bytes[4];
	size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t rest = strlen(edit->text + edit->cursor) + 1;
	if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ||
	    edit->cursor + rest + length > sizeof edit->text)
		return false;
	for (size_t i = length - 1; i > 0; i--, c >>= 6)
		bytes[i] = (char)(0x80 | (c & 0x3f));
	bytes[0] = (char)(leads[length] | c);
	memmove(edit->text + edit->cursor + length, edit->text + edit->cursor, rest);
	memcpy(edit->text + edit->cursor, bytes, length);
	edit->cursor += length;
	return true;
}

static bool take_sign(struct ma_edit *edit, uint32_t sign)
{
	switch (sign) {
	case CONTROL_A:
		edit->cursor = 0;
		return false;
	case CONTROL_E:
		edit->cursor = strlen(edit->text);
		return false;
	case CONTROL_D:
		return cut(edit, edit->cursor, sign_after(edit));
	case CONTROL_U:
		return cut(edit, 0, edit->cursor);
	case CONTROL_W:
		return cut(edit, word_before(edit), edit->cursor);
	default:
		return insert(edit, sign);
	}
}

bool ma_edit_key(struct ma_edit *edit, const struct ma_key *key)
{
	size_t at = edit->cursor;
	switch (key->kind) {
	case MA_KEY_SIGN:
		return take_sign(edit, key->sign);
	case MA_KEY_LEFT:
		edit->cursor = sign_before(edit);
		return false;
	case MA_KEY_RIGHT:
		edit->cursor = sign_after(edit);
		return false;
	case MA_KEY_HOME:
		edit->cursor = 0;
		return false;
	case MA_KEY_END:
		edit->cursor = strlen(edit->text);
		return false;
	case MA_KEY_BACKSPACE:
		return cut(edit, sign_before(edit), at);
	case MA_KEY_DELETE:
		return cut(edit, at, sign_after(edit));
	default:
		return false;
	}
}
