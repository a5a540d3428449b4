/* SPDX-License-Identifier: MIT */
/* The C library's conversions as ncurses needs them, in UTF-8; see charset.h. */
#include "cli/live/charset.h"

#include <errno.h>
#include <langinfo.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wchar.h>
#include <wctype.h>

#include "cli/width.h"

static bool speaks_utf8;

bool ma_charset_wants_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const char *value = getenv(names[i]);
		if (value && value[0])
			return strcasestr(value, "UTF-8") || strcasestr(value, "UTF8");
	}
	return false;
}

void ma_charset_use_utf8(bool utf8)
{
	speaks_utf8 = utf8;
}

/* The linker gives the C library's own functions these names. */
wint_t __real_btowc(int byte);
int __real_wctob(wint_t wide);
int __real_iswprint(wint_t wide);
int __real_wcwidth(wchar_t wide);
char *__real_nl_langinfo(nl_item item);
int __real_mblen(const char *bytes, size_t count);
int __real_mbtowc(wchar_t *wide, const char *bytes, size_t count);
size_t __real_mbrtowc(wchar_t *wide, const char *bytes, size_t count, mbstate_t *state);
size_t __real_wcrtomb(char *bytes, wchar_t wide, mbstate_t *state);
size_t __real_mbstowcs(wchar_t *wide, const char *bytes, size_t count);
size_t __real_wcstombs(char *bytes, const wchar_t *wide, size_t count);
size_t __real_wcsrtombs(char *bytes, const wchar_t **wide, size_t count, mbstate_t *state);

wint_t __wrap_btowc(int byte);
int __wrap_wctob(wint_t wide);
int __wrap_iswprint(wint_t wide);
int __wrap_wcwidth(wchar_t wide);
char *__wrap_nl_langinfo(nl_item item);
int __wrap_mblen(const char *bytes, size_t count);
int __wrap_mbtowc(wchar_t *wide, const char *bytes, size_t count);
size_t __wrap_mbrtowc(wchar_t *wide, const char *bytes, size_t count, mbstate_t *state);
size_t __wrap_wcrtomb(char *bytes, wchar_t wide, mbstate_t *state);
size_t __wrap_mbstowcs(wchar_t *wide, const char *bytes, size_t count);
size_t __wrap_wcstombs(char *bytes, const wchar_t *wide, size_t count);
size_t __wrap_wcsrtombs(char *bytes, const wchar_t **wide, size_t count, mbstate_t *state);

enum { INVALID = -1, INCOMPLETE = -2, MOST_BYTES = 4 };

/* Reads one code point of at most count bytes. Returns its bytes, INVALID or INCOMPLETE. */
static int decode(const char *bytes, size_t count, uint32_t *code_point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)bytes;
	int length = s[0] < 0x80   ? 1
		     : s[0] < 0xc2 ? 0
		     : s[0] < 0xe0 ? 2
		     : s[0] < 0xf0 ? 3
		     : s[0] < 0xf5 ? 4
				   : 0;
	if (!length)
		return INVALID;
	uint32_t value = length == 1 ? s[0] : s[0] & (0x7fU >> length);
	for (int i = 1; i < length; i++) {
		if ((size_t)i >= count)
			return INCOMPLETE;
		if ((s[i] & 0xc0) != 0x80)
			return INVALID;
		value = value << 6 | (s[i] & 0x3fU);
	}
	if (value < least[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return INVALID;
	*code_point = value;
	return length;
}

/* Writes a code point; returns its bytes, or INVALID. */
static int encode(char bytes[MOST_BYTES], uint32_t c)
{
	static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
	int length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return INVALID;
	for (int i = length - 1; i > 0; i--, c >>= 6)
		bytes[i] = (char)(0x80 | (c & 0x3f));
	bytes[0] = (char)(leads[length] | c);
	return length;
}

wint_t __wrap_btowc(int byte)
{
	if (!speaks_utf8)
		return __real_btowc(byte);
	return byte >= 0 && byte < 0x80 ? (wint_t)byte : WEOF;
}

int __wrap_wctob(wint_t wide)
{
	if (!speaks_utf8)
		return __real_wctob(wide);
	return wide < 0x80 ? (int)wide : EOF;
}

int __wrap_iswprint(wint_t wide)
{
	if (!speaks_utf8)
		return __real_iswprint(wide);
	return wide >= 0x20 && wide != 0x7f && !(wide >= 0x80 && wide < 0xa0) && wide <= 0x10ffff;
}

int __wrap_wcwidth(wchar_t wide)
{
	if (!speaks_utf8)
		return __real_wcwidth(wide);
	if (!wide)
		return 0;
	return __wrap_iswprint((wint_t)wide) ? (int)ma_width_of((uint32_t)wide) : -1;
}

char *__wrap_nl_langinfo(nl_item item)
{
	static char utf8[] = "UTF-8";
	return speaks_utf8 && item == CODESET ? utf8 : __real_nl_langinfo(item);
}

size_t __wrap_mbrtowc(wchar_t *wide, const char *bytes, size_t count, mbstate_t *state)
{
	uint32_t code_point;
	if (!speaks_utf8)
		return __real_mbrtowc(wide, bytes, count, state);
	if (!bytes)
		return 0;
	if (!count)
		return (size_t)INCOMPLETE;
	int length = decode(bytes, count, &code_point);
	if (length == INVALID)
		errno = EILSEQ;
	if (length < 0)
		return (size_t)length;
	if (wide)
		*wide = (wchar_t)code_point;
	return code_point ? (size_t)length : 0;
}

int __wrap_mbtowc(wchar_t *wide, const char *bytes, size_t count)
{
	if (!speaks_utf8)
		return __real_mbtowc(wide, bytes, count);
	size_t length = __wrap_mbrtowc(wide, bytes, count, NULL);
	return length == (size_t)INCOMPLETE ? INVALID : (int)length;
}

int __wrap_mblen(const char *bytes, size_t count)
{
	return speaks_utf8 ? __wrap_mbtowc(NULL, bytes, count) : __real_mblen(bytes, count);
}

size_t __wrap_wcrtomb(char *bytes, wchar_t wide, mbstate_t *state)
{
	if (!speaks_utf8)
		return __real_wcrtomb(bytes, wide, state);
	if (!bytes)
		return 1;
	int length = encode(bytes, (uint32_t)wide);
	if (length < 0)
		errno = EILSEQ;
	return (size_t)length;
}

size_t __wrap_mbstowcs(wchar_t *wide, const char *bytes, size_t count)
{
	if (!speaks_utf8)
		return __real_mbstowcs(wide, bytes, count);
	size_t made = 0;
	for (; !wide || made < count; made++) {
		uint32_t code_point;
		int length = decode(bytes, MOST_BYTES, &code_point);
		if (length < 0)
			return (size_t)INVALID;
		if (wide)
			wide[made] = (wchar_t)code_point;
		if (!code_point)
			break;
		bytes += length;
	}
	return made;
}

size_t __wrap_wcsrtombs(char *bytes, const wchar_t **wide, size_t count, mbstate_t *state)
{
	if (!speaks_utf8)
		return __real_wcsrtombs(bytes, wide, count, state);
	size_t made = 0;
	const wchar_t *at = *wide;
	for (;; at++) {
		char one[MOST_BYTES];
		int length = encode(one, (uint32_t)*at);
		if (length < 0) {
			errno = EILSEQ;
			return (size_t)INVALID;
		}
		if (bytes && made + (size_t)length > count)
			break;
		if (bytes)
			memcpy(bytes + made, one, (size_t)length);
		if (!*at) {
			if (bytes)
				*wide = NULL;
			return made;
		}
		made += (size_t)length;
	}
	*wide = at;
	return made;
}

size_t __wrap_wcstombs(char *bytes, const wchar_t *wide, size_t count)
{
	if (!speaks_utf8)
		return __real_wcstombs(bytes, wide, count);
	return __wrap_wcsrtombs(bytes, &wide, count, NULL);
}
