/* SPDX-License-Identifier: MIT */
/* UTF-8: every code point's encoding is accepted, and exactly those byte sequences are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "proto/utf8.h"

static size_t encode(uint32_t point, char *to)
{
	if (point < 0x80) {
		to[0] = (char)point;
		return 1;
	}
	size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
	for (size_t i = length; --i; point >>= 6)
		to[i] = (char)(0x80 | (point & 63));
	to[0] = (char)(0xf00 >> length | point);
	return length;
}

/* There are as many well-formed sequences of each length as code points; count and compare. */
static void test_every_sequence(void **state)
{
	(void)state;
	char text[4];
	for (uint32_t point = 0; point <= 0x110000; point++) {
		size_t length = encode(point, text);
		bool valid = point < 0x110000 && (point < 0xd800 || point > 0xdfff);
		if (ma_utf8_valid(text, length) != valid)
			print_error("code point %x\n", (unsigned)point);
		assert_int_equal(ma_utf8_valid(text, length), valid);
		for (size_t cut = 1; cut < length; cut++)
			assert_false(ma_utf8_valid(text, cut));
	}
	unsigned two = 0, three = 0;
	for (unsigned i = 0; i < 0x1000000; i++) {
		char bytes[3] = {(char)(i >> 16), (char)(i >> 8), (char)i};
		/* Starting above ASCII, and not a shorter sequence with something after it. */
		if (i >> 16 >= 0x80 && !ma_utf8_valid(bytes, 2))
			three += ma_utf8_valid(bytes, 3);
		if (i < 0x10000 && i >> 8 >= 0x80)
			two += ma_utf8_valid(bytes + 1, 2);
	}
	assert_int_equal(two, 0x800 - 0x80);
	assert_int_equal(three, 0x10000 - 0x800 - 0x800);
}

static void test_strings(void **state)
{
	(void)state;
	assert_true(ma_utf8_valid("", 0));
	assert_true(ma_utf8_valid("a\0b", 3));
	assert_true(ma_utf8_valid("gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\x8d", 11));
	assert_false(ma_utf8_valid("caf\xe9", 4));
	assert_false(ma_utf8_valid("\x80", 1));
	assert_false(ma_utf8_valid("\xc0\x80", 2));
	assert_false(ma_utf8_valid("\xe0\x9f\xbf", 3));
	assert_false(ma_utf8_valid("\xed\xa0\x80", 3));
	assert_false(ma_utf8_valid("\xf4\x90\x80\x80", 4));
	assert_false(ma_utf8_valid("\xf5\x80\x80\x80", 4));
	assert_false(ma_utf8_valid("\xff", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_sequence),
		cmocka_unit_test(test_strings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
