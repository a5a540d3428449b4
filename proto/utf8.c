/* SPDX-License-Identifier: MIT */
/* Well-formed UTF-8, by the table of RFC 3629 section 4: what may follow which first byte. */
#include "proto/utf8.h"

#include <stdint.h>

/* First bytes low..high start a sequence with `more` bytes, the next of which is from..to. */
struct form {
	uint8_t low, high, more, from, to;
};

static const struct form forms[] = {
	{0x00, 0x7f, 0, 0x00, 0x00}, {0xc2, 0xdf, 1, 0x80, 0xbf}, {0xe0, 0xe0, 2, 0xa0, 0xbf},
	{0xe1, 0xec, 2, 0x80, 0xbf}, {0xed, 0xed, 2, 0x80, 0x9f}, {0xee, 0xef, 2, 0x80, 0xbf},
	{0xf0, 0xf0, 3, 0x90, 0xbf}, {0xf1, 0xf3, 3, 0x80, 0xbf}, {0xf4, 0xf4, 3, 0x80, 0x8f},
};

static const struct form *find_form(uint8_t first)
{
	for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
		if (first >= forms[i].low && first <= forms[i].high)
			return &forms[i];
	return NULL;
}

bool ma_utf8_valid(const char *text, size_t bytes)
{
	const uint8_t *at = (const uint8_t *)text;
	size_t left = bytes;
	while (left) {
		const struct form *form = find_form(*at);
		if (!form || form->more >= left)
			return false;
		for (size_t i = 1; i <= form->more; i++) {
			uint8_t low = i == 1 ? form->from : 0x80;
			uint8_t high = i == 1 ? form->to : 0xbf;
			if (at[i] < low || at[i] > high)
				return false;
		}
		at += form->more + 1u;
		left -= form->more + 1u;
	}
	return true;
}
