/* SPDX-License-Identifier: MIT */
/* Names as the hook stores them become valid UTF-8; long line tables are fetched, but not believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/names.h"
#include "daemon/text.h"
#include "fake_area.h"
#include "proto/utf8.h"

static void assert_bytes(const char *bytes, size_t count, const char *wanted)
{
	char text[64];
	size_t length = ma_text_from_bytes(text, sizeof text, bytes, count);
	assert_string_equal(text, wanted);
	assert_int_equal(length, strlen(wanted));
}

static void test_bytes(void **state)
{
	(void)state;
	assert_bytes("plain", 5, "plain");
	assert_bytes("\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8d", 9,
		     "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x8d");
	assert_bytes("a\xff"
		     "b\0c",
		     5, "a\\xffb\\x00c");
	assert_bytes("\xc0\xaf", 2, "\\xc0\\xaf");                   /* overlong */
	assert_bytes("\xed\xa0\x80", 3, "\\xed\\xa0\\x80");          /* surrogate */
	assert_bytes("\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
	assert_bytes("\xe2\x82", 2, "\\xe2\\x82");                   /* cut short */
	char text[4];
	assert_int_equal(ma_text_from_bytes(text, sizeof text, "ab\xc3\xa4", 4), 2);
	assert_string_equal(text, "ab");
	/* Whatever comes in, what goes out is UTF-8. */
	srandom(8);
	for (int i = 0; i < 20000; i++) {
		char bytes[12], out[80];
		for (size_t k = 0; k < sizeof bytes; k++)
			bytes[k] = (char)(random() >> 3);
		size_t length = ma_text_from_bytes(out, sizeof out, bytes, sizeof bytes);
		assert_true(ma_utf8_valid(out, length) && strlen(out) == length);
		length = ma_text_from_unicode(out, sizeof out, 1 << (i % 3), bytes, sizeof bytes);
		assert_true(ma_utf8_valid(out, length) && strlen(out) == length);
	}
}

static void test_kinds(void **state)
{
	(void)state;
	struct fake_area fake;
	struct ma_names names;
	fake_area_init(&fake, MA_MODE_SAMPLED, 0);
	static const uint16_t two[] = {'f', 0x20ac, 0xdcff, 0xd801};
	static const uint32_t four[] = {'g', 0x1f40d, 0x110000};
	struct fake_code code = {.name = two,
				 .name_bytes = sizeof two,
				 .name_kind = 2,
				 .file = four,
				 .file_bytes = sizeof four,
				 .file_kind = 4,
				 .first_line = 12,
				 .cut = 1};
	uint32_t first = fake_area_code_full(&fake, &code);
	uint32_t second = fake_area_code(&fake, "na\xefve", "/x.py", 3);
	assert_int_equal(ma_names_init(&names, &fake.area->tables, 0x030b0000), 0);
	const struct ma_code_name *name = ma_names_code(&names, first);
	assert_string_equal(name->function, "f\xe2\x82\xac\\xff\\ud801...");
	assert_string_equal(name->file, "g\xf0\x9f\x90\x8d\\U00110000");
	assert_int_equal(name->first_line, 12);
	name = ma_names_code(&names, second);
	assert_string_equal(name->function, "na\xc3\xafve");
	/* Known ones are remembered; unknown ones are refused. */
	fake.area->tables.code_log[second + 1] = 0;
	assert_string_equal(ma_names_code(&names, second)->file, "/x.py");
	assert_null(ma_names_code(&names, 0));
	assert_null(ma_names_code(&names, UINT32_MAX));
	assert_null(ma_names_code(&names, (uint32_t)fake.area->tables.code_used));
	assert_int_equal(ma_names_line(&names, MA_FRAME(first, 4)), 12);
	assert_int_equal(ma_names_line(&names, MA_FRAME(0, 4)), 0);
	ma_names_fini(&names);
	fake_area_fini(&fake);
}

/* The target's memory, as far as these tests have one. */
struct memory {
	uint64_t code_address;
	uint64_t table_pointer; /* what the code object holds */
	uint64_t table_address; /* where the bytes object lies */
	const uint8_t *table;
	size_t table_bytes;
	int reads;
};

static int read_memory(void *context, uint64_t address, void *buffer, size_t bytes)
{
	struct memory *memory = context;
	memory->reads++;
	memset(buffer, 0, bytes);
	if (address == memory->code_address) {
		memcpy((uint8_t *)buffer + 96, &memory->table_pointer, 8);
		return 0;
	}
	uint64_t data = memory->table_address + 32;
	if (address == data && bytes == memory->table_bytes) {
		memcpy(buffer, memory->table, bytes);
		return 0;
	}
	return address == memory->table_address ? 0 : -1;
}

/* PEP 657: 400 entries "no column, line delta" of one code unit each, the line rising by one. */
static size_t make_table(uint8_t table[800])
{
	size_t length = 0;
	for (int i = 0; i < 400; i++) {
		table[length++] = 0x80 | 13 << 3; /* kind 13, one code unit */
		table[length++] = 2;              /* +1, as a signed varint */
	}
	return length;
}

static int line_with(const struct memory *wanted, const uint8_t *table, uint32_t stored,
		     uint32_t offset)
{
	struct fake_area fake;
	struct ma_names names;
	struct memory memory = *wanted;
	fake_area_init(&fake, MA_MODE_SAMPLED, 0);
	struct fake_code code = {.name = "f",
				 .name_bytes = 1,
				 .name_kind = 1,
				 .file = "x",
				 .file_bytes = 1,
				 .file_kind = 1,
				 .first_line = 1000,
				 .lines = table,
				 .lines_bytes = stored,
				 .lines_total_bytes = 800,
				 .address = 0x7000,
				 .lines_address = 0x9000};
	fake_area_code(&fake, "other", "y", 1);
	uint32_t id = fake_area_code_full(&fake, &code);
	assert_int_equal(ma_names_init(&names, &fake.area->tables, 0x030b0000), 0);
	/* Asked for before the table was fetched: the answer must not stick. */
	ma_names_line(&names, MA_FRAME(id, offset));
	ma_names_fetch_tables(&names, read_memory, &memory);
	int reads = memory.reads;
	ma_names_fetch_tables(&names, read_memory, &memory);
	assert_int_equal(memory.reads, reads);
	int line = ma_names_line(&names, MA_FRAME(id, offset));
	assert_int_equal(ma_names_line(&names, MA_FRAME(id, offset)), line);
	ma_names_fini(&names);
	fake_area_fini(&fake);
	return line;
}

static void test_long_tables(void **state)
{
	(void)state;
	uint8_t table[800], other[800];
	assert_int_equal(make_table(table), 800);
	struct memory memory = {.code_address = 0x7000,
				.table_pointer = 0x9000,
				.table_address = 0x9000,
				.table = table,
				.table_bytes = 800};
	assert_int_equal(line_with(&memory, table, 100, 2 * 300), 1301);
	assert_int_equal(line_with(&memory, table, 100, 2 * 20), 1021);
	/* The code object holds another table now: what was stored is all there is. */
	memory.table_pointer = 0x9100;
	assert_int_equal(line_with(&memory, table, 100, 2 * 300), 1000);
	assert_int_equal(line_with(&memory, table, 100, 2 * 20), 1021);
	/* The beginning differs from what was stored. */
	memory.table_pointer = 0x9000;
	memcpy(other, table, sizeof other);
	other[7] = 4;
	memory.table = other;
	assert_int_equal(line_with(&memory, table, 100, 2 * 300), 1000);
	/* The process is gone. */
	memory.code_address = 0;
	assert_int_equal(line_with(&memory, table, 100, 2 * 300), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_long_tables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
