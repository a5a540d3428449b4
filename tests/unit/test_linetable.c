/* SPDX-License-Identifier: MIT */
/*
 * Line tables: real ones, with what each interpreter itself says about them, cut and damaged ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/linetable.h"

enum { MAX_RUNS = 256 };

/* From offset on the line is this one; the last run has line -1 and ends the code. */
struct run {
	uint32_t offset;
	int line;
};

struct vector {
	uint32_t version;
	int32_t first_line;
	const char *table; /* hexadecimal */
	struct run runs[MAX_RUNS];
};

static const struct vector vectors[] = {
#include "linetable_vectors.inc"
};

enum { VECTORS = sizeof vectors / sizeof vectors[0] };

static int digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Returned-owned; as large as the table, so that a sanitizer sees any read beyond it. */
static uint8_t *decode(const char *hex, size_t *bytes)
{
	*bytes = strlen(hex) / 2;
	uint8_t *table = malloc(*bytes ? *bytes : 1);
	assert_non_null(table);
	for (size_t i = 0; i < *bytes; i++)
		table[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
	return table;
}

static void test_real_tables(void **state)
{
	(void)state;
	unsigned versions = 0, no_lines = 0;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *vector = &vectors[i];
		size_t bytes;
		uint8_t *table = decode(vector->table, &bytes);
		versions |= 1u << (vector->version >> 16 & 0xff);
		for (const struct run *run = vector->runs; run->line >= 0; run++)
			for (uint32_t offset = run->offset; offset < run[1].offset; offset += 2) {
				int line = ma_linetable_line(vector->version, vector->first_line,
							     table, bytes, offset);
				if (line != run->line)
					print_error("vector %zu (%08x) offset %u: %d, not %d\n", i,
						    (unsigned)vector->version, (unsigned)offset,
						    line, run->line);
				assert_int_equal(line, run->line);
				no_lines += line == 0;
			}
		free(table);
	}
	/* 3.8 to 3.13 at least, and the code without a line is among it. */
	assert_int_equal(versions & 0x3f00, 0x3f00);
	assert_true(no_lines > 10);
}

/* Where the code ends is known from 3.10 on: beyond it there is no line. */
static void test_beyond_the_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct run *end = vectors[i].runs;
		size_t bytes;
		while (end->line >= 0)
			end++;
		if ((vectors[i].version >> 16 & 0xff) < 10)
			continue;
		uint8_t *table = decode(vectors[i].table, &bytes);
		assert_int_equal(ma_linetable_line(vectors[i].version, vectors[i].first_line, table,
						   bytes, end->offset),
				 0);
		assert_int_equal(ma_linetable_line(vectors[i].version, vectors[i].first_line, table,
						   bytes, UINT32_MAX),
				 0);
		free(table);
	}
}

/* A cut table gives the right line or none; before 3.10 its last line may stand for the rest. */
static void test_cut_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		const struct vector *vector = &vectors[i];
		size_t bytes;
		uint8_t *whole = decode(vector->table, &bytes);
		if (bytes > 300 || (vector->version >> 16 & 0xff) < 10) {
			free(whole);
			continue;
		}
		for (size_t cut = 0; cut < bytes; cut++) {
			uint8_t *table = malloc(cut ? cut : 1);
			memcpy(table, whole, cut);
			for (const struct run *run = vector->runs; run->line >= 0; run++) {
				int line = ma_linetable_line(vector->version, vector->first_line,
							     table, cut, run->offset);
				assert_true(line == 0 || line == run->line);
			}
			free(table);
		}
		free(whole);
	}
}

static void test_damaged_tables(void **state)
{
	(void)state;
	static const uint32_t versions[] = {0x030800f0, 0x030a00f0, 0x030b00f0, 0x030f00f0};
	uint64_t random = 88172645463325252u;
	for (int round = 0; round < 20000; round++) {
		size_t bytes = random % 40;
		uint8_t *table = malloc(bytes ? bytes : 1);
		for (size_t i = 0; i < bytes; i++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			table[i] = (uint8_t)(random >> 56);
		}
		for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++)
			assert_true(ma_linetable_line(versions[i], (int32_t)random, table, bytes,
						      (uint32_t)(random >> 33) % 600) >= 0);
		free(table);
	}
}

static void test_limits(void **state)
{
	(void)state;
	static const uint8_t up[] = {2, 127, 2, 127}, down[] = {2, 0x81, 2, 0x81};
	/* One entry: three code units, no columns, a line delta of 2^30. */
	static const uint8_t far_up[] = {0x80 | 13 << 3 | 2, 0x40, 0x40, 0x40, 0x40, 0x40, 2};
	/* The same with a number that never ends. */
	static const uint8_t endless[] = {0x80 | 13 << 3, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f};
	assert_int_equal(ma_linetable_line(0x030a00f0, 10, up, sizeof up, 0), 137);
	assert_int_equal(ma_linetable_line(0x030a00f0, INT32_MAX, up, sizeof up, 0), 0);
	assert_int_equal(ma_linetable_line(0x030a00f0, 10, down, sizeof down, 0), 0);
	assert_int_equal(ma_linetable_line(0x030800f0, INT32_MAX, up, sizeof up, 2), 0);
	assert_int_equal(ma_linetable_line(0x030800f0, 10, down, sizeof down, 2), 0);
	assert_int_equal(ma_linetable_line(0x030800f0, 10, down, sizeof down, 1), 10);
	assert_int_equal(ma_linetable_line(0x030b00f0, 1, far_up, sizeof far_up, 0), (1 << 30) + 1);
	assert_int_equal(ma_linetable_line(0x030b00f0, 1 << 30, far_up, sizeof far_up, 5), 0);
	assert_int_equal(ma_linetable_line(0x030b00f0, 1, far_up, sizeof far_up, 6), 0);
	assert_int_equal(ma_linetable_line(0x030b00f0, 1, endless, sizeof endless, 0), 0);
	assert_int_equal(ma_linetable_line(0x030800f0, 7, NULL, 0, 100), 7);
	assert_int_equal(ma_linetable_line(0x030a00f0, 7, NULL, 0, 0), 0);
	assert_int_equal(ma_linetable_line(0x030b00f0, 7, NULL, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_real_tables), cmocka_unit_test(test_beyond_the_end),
		cmocka_unit_test(test_cut_tables),  cmocka_unit_test(test_damaged_tables),
		cmocka_unit_test(test_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
