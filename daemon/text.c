/* SPDX-License-Identifier: MIT */
/* See text.h. */
#include "daemon/text.h"

#include <stdio.h>
#include <string.h>

enum { LAST_CODE_POINT = 0x10ffff };

/* A text being written. */
struct writer {
	char *text;
	size_t room;
	size_t length;
	int full;
};

static void put(struct writer *writer, const char *piece, size_t length)
{
	if (writer->full || writer->length + length >= writer->room) {
		writer->full = 1;
		return;
	}
	memcpy(writer->text + writer->length, piece, length);
	writer->length += length;
}

static size_t finish(struct writer *writer)
{
	writer->text[writer->length] = 0;
	return writer->length;
}

static void put_escape(struct writer *writer, const char *format, uint32_t value)
{
	char escape[16];
	int length = snprintf(escape, sizeof escape, format, value);
	put(writer, escape, (size_t)length);
}

/* Surrogates from U+DC80 on stand for undecodable bytes (PEP 383): written as the byte. */
static void put_code_point(struct writer *writer, uint32_t c)
{
	char bytes[4];
	if (c == 0 || (c >= 0xdc80 && c <= 0xdcff)) {
		put_escape(writer, "\\x%02x", c & 0xff);
	} else if (c < 0x80) {
		bytes[0] = (char)c;
		put(writer, bytes, 1);
	} else if (c < 0x800) {
		bytes[0] = (char)(0xc0 | c >> 6);
		bytes[1] = (char)(0x80 | (c & 0x3f));
		put(writer, bytes, 2);
	} else if (c >= 0xd800 && c <= 0xdfff) {
		put_escape(writer, "\\u%04x", c);
	} else if (c < 0x10000) {
		bytes[0] = (char)(0xe0 | c >> 12);
		bytes[1] = (char)(0x80 | (c >> 6 & 0x3f));
		bytes[2] = (char)(0x80 | (c & 0x3f));
		put(writer, bytes, 3);
	} else if (c <= LAST_CODE_POINT) {
		bytes[0] = (char)(0xf0 | c >> 18);
		bytes[1] = (char)(0x80 | (c >> 12 & 0x3f));
		bytes[2] = (char)(0x80 | (c >> 6 & 0x3f));
		bytes[3] = (char)(0x80 | (c & 0x3f));
		put(writer, bytes, 4);
	} else {
		put_escape(writer, "\\U%08x", c);
	}
}

/* Bytes of the well-formed UTF-8 sequence at `at`, 0 when it is none (Unicode 15, table 3-7). */
static size_t sequence_at(const uint8_t *at, size_t left)
{
	static const struct {
		uint8_t lead_first, lead_last, second_first, second_last;
		size_t length;
	} forms[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
		{0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
		{0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
		{0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
	};
	if (at[0] >= 1 && at[0] < 0x80)
		return 1;
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if (at[0] < forms[i].lead_first || at[0] > forms[i].lead_last)
			continue;
		if (left < forms[i].length || at[1] < forms[i].second_first ||
		    at[1] > forms[i].second_last)
			return 0;
		for (size_t k = 2; k < forms[i].length; k++) {
			if ((at[k] & 0xc0) != 0x80)
				return 0;
		}
		return forms[i].length;
	}
	return 0;
}

size_t ma_text_from_bytes(char *text, size_t room, const void *bytes, size_t count)
{
	struct writer writer = {.text = text, .room = room};
	const uint8_t *at = bytes;
	while (count) {
		size_t length = sequence_at(at, count);
		if (length)
			put(&writer, (const char *)at, length);
		else
			put_escape(&writer, "\\x%02x", at[0]);
		at += length ? length : 1;
		count -= length ? length : 1;
	}
	return finish(&writer);
}

size_t ma_text_from_unicode(char *text, size_t room, int kind, const void *data, size_t count)
{
	struct writer writer = {.text = text, .room = room};
	const uint8_t *at = data;
	for (size_t i = 0; i + (size_t)kind <= count; i += (size_t)kind) {
		uint32_t c = at[i];
		uint16_t two;
		if (kind == 2) {
			memcpy(&two, at + i, sizeof two);
			c = two;
		} else if (kind == 4) {
			memcpy(&c, at + i, sizeof c);
		}
		put_code_point(&writer, c);
	}
	return finish(&writer);
}
