/* SPDX-License-Identifier: MIT */
/* snapshot.bin: its golden bytes, what is read back, what is kept of a file that was cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

#include "proto/snapshot.h"
#include "proto/snapshot_gzip.h"
#include "snapshot_sample.h"

/* The sample's uncompressed bytes. */
static const uint8_t golden[] = {
#include "snapshot_golden.inc"
};

struct bytes {
	uint8_t *data;
	size_t size;
};

static struct bytes pack(Memattach__Profile *profile)
{
	struct bytes packed;
	assert_int_equal(ma_snapshot_pack(profile, &packed.data, &packed.size, NULL), 0);
	return packed;
}

static struct bytes inflate_all(struct bytes packed)
{
	struct bytes raw;
	bool complete;
	uint64_t stated;
	assert_int_equal(ma_snapshot_inflate(packed.data, packed.size, 1 << 20, &raw.data,
					     &raw.size, &complete, &stated, NULL),
			 0);
	assert_true(complete);
	assert_int_equal(stated, raw.size);
	return raw;
}

static struct bytes pack_sample(void)
{
	Memattach__Profile *profile = snapshot_sample();
	assert_non_null(profile);
	struct bytes packed = pack(profile);
	memattach__profile__free_unpacked(profile, NULL);
	return packed;
}

static void test_golden_bytes(void **state)
{
	(void)state;
	static const uint8_t header[] = {0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3, 12, 0, 'M', 'A', 8, 0};
	struct bytes packed = pack_sample(), raw = inflate_all(packed);
	assert_memory_equal(packed.data, header, sizeof header);
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(packed.data[sizeof header + i], raw.size >> (8 * i) & 0xff);
	if (raw.size != sizeof golden || memcmp(raw.data, golden, raw.size) != 0)
		for (size_t i = 0; i < raw.size; i++)
			print_error("0x%02x,%s", raw.data[i], i % 16 == 15 ? "\n" : " ");
	assert_int_equal(raw.size, sizeof golden);
	assert_memory_equal(raw.data, golden, sizeof golden);
	free(raw.data);
	free(packed.data);
}

static void expect_whole(const uint8_t *bytes, size_t size)
{
	Memattach__Profile *profile;
	struct ma_snapshot_state found;
	struct ma_error error = {0};
	int code = ma_snapshot_parse(bytes, size, &profile, &found, &error);
	if (code)
		print_error("%s: %s\n", error.what, error.answer);
	assert_int_equal(code, 0);
	assert_false(found.cut_short);
	assert_true(found.part >= 1.0);
	assert_true(found.heap_trusted);
	assert_string_equal(found.heap_reason, "");
	struct bytes again = pack(profile), raw = inflate_all(again);
	assert_int_equal(raw.size, sizeof golden);
	assert_memory_equal(raw.data, golden, sizeof golden);
	assert_string_equal(ma_snapshot_string(profile, profile->function[0]->name), "Cache.put");
	assert_string_equal(ma_snapshot_string(profile, -1), "");
	assert_string_equal(ma_snapshot_string(profile, (int64_t)profile->n_string_table), "");
	assert_string_equal(profile->heap->process->end->sentence, "killed by SIGKILL");
	free(raw.data);
	free(again.data);
	memattach__profile__free_unpacked(profile, NULL);
}

static void test_read_back(void **state)
{
	(void)state;
	struct bytes packed = pack_sample();
	expect_whole(packed.data, packed.size);
	expect_whole(golden, sizeof golden);
	free(packed.data);
}

/* The CRC-32 of 8-byte little endian words, location ids before values, written out by hand. */
static void test_crc(void **state)
{
	(void)state;
	Memattach__Profile profile;
	Memattach__Sample sample;
	memattach__profile__init(&profile);
	memattach__sample__init(&sample);
	assert_int_equal(ma_snapshot_crc(&profile), 0);
	Memattach__Sample *list[] = {&sample};
	uint64_t location = 0x0102030405060708;
	int64_t value = -2;
	static const uint8_t words[] = {8,    7,    6,    5,    4,    3,    2,    1,
					0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	sample.n_location_id = sample.n_value = 1;
	sample.location_id = &location;
	sample.value = &value;
	profile.n_sample = 1;
	profile.sample = list;
	assert_int_equal(ma_snapshot_crc(&profile), crc32(0, words, sizeof words));
}

/* Parses the first `size` bytes; how many samples are there, -1 when it is refused. */
static int samples_of_cut(const uint8_t *bytes, size_t size, double *part, bool *cut, bool *heap)
{
	Memattach__Profile *profile;
	struct ma_snapshot_state found;
	struct ma_error error = {0};
	/* A copy of just that size, so that a sanitizer sees any read beyond it. */
	uint8_t *copy = malloc(size ? size : 1);
	memcpy(copy, bytes, size);
	int code = ma_snapshot_parse(copy, size, &profile, &found, &error);
	free(copy);
	if (code) {
		assert_int_equal(code, MA_ERR_PROTOCOL);
		assert_null(profile);
		assert_true(error.what[0] && error.answer[0] && error.remedy[0]);
		return -1;
	}
	int samples = (int)profile->n_sample;
	*part = found.part;
	*cut = found.cut_short;
	*heap = profile->heap && profile->heap->process;
	assert_int_equal(found.heap_trusted, found.heap_reason[0] == '\0');
	assert_true(found.part > 0 && found.part <= 1);
	if (!found.heap_trusted && profile->heap) {
		assert_int_equal(profile->heap->n_site, 0);
		assert_int_equal(profile->heap->n_series, 0);
	}
	memattach__profile__free_unpacked(profile, NULL);
	return samples;
}

static void test_cut_anywhere(void **state)
{
	(void)state;
	int last = -1, refused = 0, with_heap = 0;
	for (size_t size = 0; size < sizeof golden; size++) {
		double part = 0;
		bool cut, heap;
		int samples = samples_of_cut(golden, size, &part, &cut, &heap);
		assert_true(samples >= last);
		last = samples;
		refused += samples < 0;
		with_heap += samples >= 0 && heap;
	}
	assert_int_equal(last, 3);
	/* Once the strings are there something can be said, once the process is, whose it is. */
	assert_int_equal(refused, 295);
	assert_int_equal(with_heap, 81);
}

static void test_cut_gzip_anywhere(void **state)
{
	(void)state;
	struct bytes packed = pack_sample();
	double last_part = 0;
	int last = -1;
	for (size_t size = 0; size < packed.size; size++) {
		double part = 0;
		bool cut = true, heap;
		int samples = samples_of_cut(packed.data, size, &part, &cut, &heap);
		assert_true(cut);
		assert_true(samples >= last && part >= last_part);
		last = samples;
		last_part = part;
	}
	/* Without gzip's closing checksum nothing is missing, but that is not known for sure. */
	assert_int_equal(last, 3);
	assert_true(last_part >= 1.0);
	free(packed.data);
}

static void test_cut_says_how_much(void **state)
{
	(void)state;
	/* Random bytes do not compress: half of the file is half of the content. */
	Memattach__Profile *profile = snapshot_sample();
	size_t extra = 4000, old = profile->n_string_table;
	profile->string_table = realloc(profile->string_table, (old + extra) * sizeof(char *));
	profile->n_string_table = old + extra;
	uint64_t random = 88172645463325252u;
	for (size_t i = old; i < old + extra; i++) {
		char text[65] = {0};
		for (size_t j = 0; j < 64; j++) {
			random = random * 6364136223846793005u + 1442695040888963407u;
			text[j] = (char)(' ' + (random >> 33) % 94);
		}
		profile->string_table[i] = strdup(text);
	}
	struct bytes packed = pack(profile);
	double part = 0;
	bool cut = false, heap;
	assert_int_equal(samples_of_cut(packed.data, packed.size / 2, &part, &cut, &heap), 0);
	assert_true(cut);
	assert_true(part > 0.4 && part < 0.6);
	memattach__profile__free_unpacked(profile, NULL);
	free(packed.data);
}

/* Another writer's order: samples first. What they refer to may be what is missing. */
static void test_cut_of_another_order(void **state)
{
	(void)state;
	Memattach__Profile *profile = snapshot_sample();
	size_t strings = profile->n_string_table;
	uint8_t raw[4096];
	profile->n_string_table = 0;
	Memattach__Location **locations = profile->location;
	Memattach__Heap *heap = profile->heap;
	profile->n_location = 0;
	profile->heap = NULL;
	size_t size = memattach__profile__pack(profile, raw);
	Memattach__Profile rest;
	memattach__profile__init(&rest);
	rest.n_string_table = strings;
	rest.string_table = profile->string_table;
	size += memattach__profile__pack(&rest, raw + size);
	rest.n_string_table = 0;
	rest.n_location = 2;
	rest.location = locations;
	size_t whole = size + memattach__profile__pack(&rest, raw + size);
	double part = 0;
	bool cut = false, has_heap;
	assert_int_equal(samples_of_cut(raw, whole, &part, &cut, &has_heap), 3);
	assert_false(cut);
	/* The last location is incomplete: the sample that has it goes, the others stay. */
	assert_int_equal(samples_of_cut(raw, whole - 1, &part, &cut, &has_heap), 1);
	assert_true(cut);
	assert_true(part < 0.4);
	profile->n_string_table = strings;
	profile->n_location = 2;
	profile->heap = heap;
	memattach__profile__free_unpacked(profile, NULL);
}

static void test_every_byte_damaged(void **state)
{
	(void)state;
	int read = 0, refused = 0;
	for (size_t i = 0; i < sizeof golden; i++)
		for (int bit = 0; bit < 8; bit++) {
			uint8_t copy[sizeof golden];
			double part;
			bool cut, heap;
			memcpy(copy, golden, sizeof golden);
			copy[i] ^= (uint8_t)(1 << bit);
			int samples = samples_of_cut(copy, sizeof copy, &part, &cut, &heap);
			refused += samples < 0;
			read += samples >= 0;
		}
	assert_true(read > 100 && refused > 100);
}

static void expect_refused(const uint8_t *bytes, size_t size, const char *reason)
{
	Memattach__Profile *profile;
	struct ma_snapshot_state found;
	struct ma_error error = {0};
	assert_int_equal(ma_snapshot_parse(bytes, size, &profile, &found, &error), MA_ERR_PROTOCOL);
	assert_null(profile);
	if (!strstr(error.answer, reason))
		print_error("answer is: %s\n", error.answer);
	assert_non_null(strstr(error.answer, reason));
}

static void test_not_a_snapshot(void **state)
{
	(void)state;
	expect_refused((const uint8_t *)"", 0, "empty");
	expect_refused((const uint8_t *)"\x1f\x8b\x08\xff", 4, "byte");
	expect_refused((const uint8_t *)"PK\3\4", 4, "byte");
	expect_refused((const uint8_t *)"\x0c", 1, "byte 0");     /* wire type 4 */
	expect_refused((const uint8_t *)"\x02\x00", 2, "byte 0"); /* field 0 */
	expect_refused((const uint8_t *)"\x50\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12,
		       "byte 0");
	/* Field 4, a location, holds a field of wire type 7. */
	expect_refused((const uint8_t *)"\x50\x01\x22\x01\x0f", 5, "byte 2");
}

static void test_damaged_gzip(void **state)
{
	(void)state;
	struct bytes packed = pack_sample();
	uint8_t *longer = malloc(packed.size + 1);
	memcpy(longer, packed.data, packed.size);
	longer[packed.size] = 0;
	expect_refused(longer, packed.size + 1, "follows the end");
	longer[packed.size - 5] ^= 1; /* the closing CRC-32 */
	expect_refused(longer, packed.size, "incorrect data check");
	free(longer);
	free(packed.data);
}

static void test_inflate_is_bounded(void **state)
{
	(void)state;
	struct bytes packed = pack_sample();
	uint8_t *raw = NULL;
	size_t raw_bytes;
	bool complete;
	uint64_t stated;
	struct ma_error error;
	assert_int_equal(ma_snapshot_inflate(packed.data, packed.size, sizeof golden, &raw,
					     &raw_bytes, &complete, &stated, &error),
			 0);
	free(raw);
	raw = NULL;
	assert_int_equal(ma_snapshot_inflate(packed.data, packed.size, sizeof golden - 1, &raw,
					     &raw_bytes, &complete, &stated, &error),
			 MA_ERR_PROTOCOL);
	assert_null(raw);
	free(packed.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_bytes),
		cmocka_unit_test(test_read_back),
		cmocka_unit_test(test_crc),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_cut_gzip_anywhere),
		cmocka_unit_test(test_cut_says_how_much),
		cmocka_unit_test(test_cut_of_another_order),
		cmocka_unit_test(test_every_byte_damaged),
		cmocka_unit_test(test_not_a_snapshot),
		cmocka_unit_test(test_damaged_gzip),
		cmocka_unit_test(test_inflate_is_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
