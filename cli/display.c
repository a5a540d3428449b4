/* SPDX-License-Identifier: MIT */
/*
 * Harmless strings and their width. What comes from a target is shown on the terminal of somebody
 * who may be root, so nothing in it may be obeyed: no escape sequence, no line break, no change of
 * writing direction.
 */
#include "cli/display.h"

#include <string.h>

#include "cli/width.h"

int ma_display_decode(const char **cursor, uint32_t *code_point)
{
	const unsigned char *s = (const unsigned char *)*cursor;
	static const struct {
		unsigned char mask, lead;
		unsigned extra;
		uint32_t least;
	} forms[] = {{0x80, 0x00, 0, 0x0},
		     {0xe0, 0xc0, 1, 0x80},
		     {0xf0, 0xe0, 2, 0x800},
		     {0xf8, 0xf0, 3, 0x10000}};
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
		if ((s[0] & forms[i].mask) != forms[i].lead)
			continue;
		uint32_t value = s[0] & (unsigned char)~forms[i].mask;
		unsigned read = 0;
		while (read < forms[i].extra && (s[1 + read] & 0xc0) == 0x80)
			value = value << 6 | (s[1 + read++] & 0x3f);
		if (read < forms[i].extra || value < forms[i].least || value > 0x10ffff ||
		    (value >= 0xd800 && value <= 0xdfff))
			break;
		*code_point = value;
		*cursor += 1 + read;
		return 1;
	}
	*code_point = s[0];
	*cursor += 1;
	return 0;
}

/* Would a terminal act on it, or reorder what stands around it? */
static int is_obeyed(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || (c >= 0x200e && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

void ma_display_escape(struct ma_text *text, const char *string)
{
	while (*string) {
		const char *start = string;
		uint32_t c;
		if (!ma_display_decode(&string, &c))
			ma_text_addf(text, "\\x%02x", (unsigned)c);
		else if (c == '\n')
			ma_text_add(text, "\\n");
		else if (c == '\t')
			ma_text_add(text, "\\t");
		else if (is_obeyed(c))
			ma_text_addf(text,
				     c < 0x100     ? "\\x%02x"
				     : c < 0x10000 ? "\\u%04x"
						   : "\\U%08x",
				     (unsigned)c);
		else
			ma_text_add_bytes(text, start, (size_t)(string - start));
	}
}

unsigned ma_display_columns(const char *escaped)
{
	unsigned columns = 0;
	while (*escaped) {
		uint32_t c;
		ma_display_decode(&escaped, &c);
		columns += ma_width_of(c);
	}
	return columns;
}

enum { DOTS = 3 };

unsigned ma_display_add_start(struct ma_text *text, const char *escaped, unsigned columns)
{
	unsigned total = ma_display_columns(escaped);
	if (total <= columns) {
		ma_text_add(text, escaped);
		return total;
	}
	unsigned room = columns > DOTS ? columns - DOTS : 0, taken = 0;
	while (*escaped) {
		const char *start = escaped;
		uint32_t c;
		ma_display_decode(&escaped, &c);
		if (taken + ma_width_of(c) > room)
			break;
		taken += ma_width_of(c);
		ma_text_add_bytes(text, start, (size_t)(escaped - start));
	}
	unsigned dots = columns - taken < DOTS ? columns - taken : DOTS;
	ma_text_repeat(text, '.', dots);
	return taken + dots;
}

unsigned ma_display_add_end(struct ma_text *text, const char *escaped, unsigned columns)
{
	unsigned total = ma_display_columns(escaped);
	if (total <= columns) {
		ma_text_add(text, escaped);
		return total;
	}
	unsigned room = columns > DOTS ? columns - DOTS : 0;
	unsigned dots = columns < DOTS ? columns : DOTS;
	while (*escaped && total > room) {
		uint32_t c;
		ma_display_decode(&escaped, &c);
		total -= ma_width_of(c);
	}
	ma_text_repeat(text, '.', dots);
	ma_text_add(text, escaped);
	return dots + total;
}

const char *ma_display_path(const char *path)
{
	static const char *const roots[] = {"/site-packages/", "/dist-packages/"};
	for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
		const char *found = strstr(path, roots[i]);
		if (found)
			return found + strlen(roots[i]);
	}
	const char *library = strstr(path, "/lib/python3.");
	if (library) {
		const char *rest = strchr(library + strlen("/lib/python3."), '/');
		if (rest && rest[1])
			return rest + 1;
	}
	return path;
}

const char *ma_display_command(const char *command)
{
	if (command[0] != '/')
		return command;
	const char *end = command + strcspn(command, " "), *start = end;
	while (start[-1] != '/')
		start--;
	return start < end ? start : command;
}

int ma_display_own_code(const char *path)
{
	return path[0] && path[0] != '<' && ma_display_path(path) == path;
}
