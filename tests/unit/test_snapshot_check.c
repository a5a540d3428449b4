/* SPDX-License-Identifier: MIT */
/* Every index, id, string and sum of a snapshot that can be wrong: each is refused, by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "proto/snapshot.h"
#include "snapshot_sample.h"

typedef void change(Memattach__Profile *profile);

/* Changes the sample, packs it, reads it back. profile is NULL when it was refused. */
static int parse_changed(change *make, Memattach__Profile **parsed, struct ma_snapshot_state *found,
			 struct ma_error *error)
{
	Memattach__Profile *profile = snapshot_sample();
	uint8_t *bytes;
	size_t size;
	make(profile);
	assert_int_equal(ma_snapshot_pack(profile, &bytes, &size, NULL), 0);
	memattach__profile__free_unpacked(profile, NULL);
	int code = ma_snapshot_parse(bytes, size, parsed, found, error);
	free(bytes);
	return code;
}

static void replace(char **string, const char *text)
{
	free(*string);
	*string = strdup(text);
}

#define CHANGE(name, statement)                                                                    \
	static void name(Memattach__Profile *p)                                                    \
	{                                                                                          \
		statement;                                                                         \
	}

CHANGE(no_change, (void)p)
CHANGE(type_order, p->sample_type[0]->type = p->sample_type[2]->type)
CHANGE(type_unit, p->sample_type[5]->unit = 2)
CHANGE(type_string, p->sample_type[1]->type = 99)
CHANGE(type_missing, memattach__value_type__free_unpacked(p->sample_type[--p->n_sample_type], NULL))
CHANGE(first_string, replace(&p->string_table[0], "x"))
CHANGE(latin_string, replace(&p->string_table[14], "caf\xe9"))
CHANGE(overlong_string, replace(&p->string_table[14], "\xc0\xaf"))
CHANGE(heap_string, replace(&p->heap->process->command, "\xed\xa0\x80"))
CHANGE(default_type, p->default_sample_type = 20)
CHANGE(comment_string, p->comment[0] = -1)
CHANGE(period_string, p->period_type->unit = 20)
CHANGE(negative_time, p->time_nanos = -1)
CHANGE(mapping_id, p->mapping[0]->id = 2)
CHANGE(mapping_file, p->mapping[0]->filename = 20)
CHANGE(function_id, p->function[1]->id = 3)
CHANGE(function_zero, p->function[0]->id = 0)
CHANGE(function_name, p->function[1]->name = 20)
CHANGE(function_system_name, p->function[0]->system_name = INT64_MIN)
CHANGE(function_file, p->function[1]->filename = INT64_MAX)
CHANGE(function_line, p->function[1]->start_line = -1)
CHANGE(location_id, p->location[0]->id = 2)
CHANGE(location_mapping, p->location[1]->mapping_id = 2)
CHANGE(location_function, p->location[1]->line[0]->function_id = 3)
CHANGE(location_no_function, p->location[1]->line[0]->function_id = 0)
CHANGE(location_line, p->location[0]->line[0]->line = INT64_C(1) << 31)
CHANGE(sample_location, p->sample[0]->location_id[1] = 3)
CHANGE(sample_location_zero, p->sample[0]->location_id[0] = 0)
CHANGE(sample_values, p->sample[1]->n_value = 5)
CHANGE(sample_negative, p->sample[2]->value[3] = -1)
CHANGE(sample_label, p->sample[1]->label[0]->str = 20)
CHANGE(sample_label_key, p->sample[1]->label[1]->key = -5)
CHANGE(sum_overflow, p->sample[0]->value[1] = INT64_MAX)
CHANGE(not_a_number, p->heap->totals->live_bytes = NAN)
CHANGE(infinite, p->heap->series[0]->live_bytes[1] = INFINITY)
CHANGE(series_sample, p->heap->series[0]->sample_index = 3)
CHANGE(series_point, p->heap->series[0]->first_point = 1)
CHANGE(series_point_far, p->heap->series[0]->first_point = UINT64_MAX)

static const struct {
	change *make;
	const char *answer;
} refusals[] = {
	{type_order, "sample type 0"},
	{type_unit, "sample type 5"},
	{type_string, "sample type 1"},
	{type_missing, "sample type 5"},
	{first_string, "string 0"},
	{latin_string, "string_table 14: it is not UTF-8"},
	{overlong_string, "string_table 14: it is not UTF-8"},
	{heap_string, "command 0: it is not UTF-8"},
	{default_type, "profile field 2"},
	{comment_string, "comment 0"},
	{period_string, "profile field 5"},
	{negative_time, "negative"},
	{mapping_id, "mapping 0: ids"},
	{mapping_file, "mapping 0"},
	{function_id, "function 1: ids"},
	{function_zero, "function 0: ids"},
	{function_name, "function 1"},
	{function_system_name, "function 0"},
	{function_file, "function 1"},
	{function_line, "function 1: its first line"},
	{location_id, "location 0: ids"},
	{location_mapping, "location 1: its mapping"},
	{location_function, "location 1: its function"},
	{location_no_function, "location 1: its function"},
	{location_line, "location 0: its line"},
	{sample_location, "sample 0: a location"},
	{sample_location_zero, "sample 0: a location"},
	{sample_values, "sample 1: it has not six"},
	{sample_negative, "sample 2: a value is negative"},
	{sample_label, "sample 1: a label"},
	{sample_label_key, "sample 1: a label"},
	{sum_overflow, "sample 1: the values add up"},
	{not_a_number, "live_bytes 0: it is not a finite"},
	{infinite, "live_bytes 1: it is not a finite"},
	{series_sample, "series 0: its sample"},
	{series_point, "series 0: it has more points"},
	{series_point_far, "series 0: it has more points"},
};

static void test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
		Memattach__Profile *parsed;
		struct ma_snapshot_state found;
		struct ma_error error = {0};
		int code = parse_changed(refusals[i].make, &parsed, &found, &error);
		if (code != MA_ERR_PROTOCOL || !strstr(error.answer, refusals[i].answer))
			print_error("%zu: wanted \"%s\", got %d, \"%s\"\n", i, refusals[i].answer,
				    code, error.answer);
		assert_int_equal(code, MA_ERR_PROTOCOL);
		assert_null(parsed);
		assert_non_null(strstr(error.answer, refusals[i].answer));
		assert_true(error.remedy[0]);
	}
}

static void no_heap(Memattach__Profile *p)
{
	memattach__heap__free_unpacked(p->heap, NULL);
	p->heap = NULL;
}
static void one_site_less(Memattach__Profile *p)
{
	memattach__site_detail__free_unpacked(p->heap->site[--p->heap->n_site], NULL);
}
CHANGE(newer_schema, p->heap->schema = 2)

static void expect_untrusted(int code, Memattach__Profile *parsed,
			     const struct ma_snapshot_state *found, const char *reason)
{
	assert_int_equal(code, 0);
	assert_false(found->heap_trusted);
	if (!strstr(found->heap_reason, reason))
		print_error("reason is: %s\n", found->heap_reason);
	assert_non_null(strstr(found->heap_reason, reason));
	assert_int_equal(parsed->n_sample, 3 - (strstr(reason, "now 2") != NULL));
	if (parsed->heap) {
		assert_int_equal(parsed->heap->n_site, 0);
		assert_int_equal(parsed->heap->n_series, 0);
		assert_int_equal(parsed->heap->n_timeline, 2);
		assert_int_equal(parsed->heap->process->pid, 4242);
	}
	memattach__profile__free_unpacked(parsed, NULL);
}

static void test_untrusted_heaps(void **state)
{
	(void)state;
	static const struct {
		change *make;
		const char *reason;
	} cases[] = {
		{no_heap, "no part of memattach's own"},
		{newer_schema, "schema 2"},
		{one_site_less, "details of 2 sites for 3 samples"},
	};
	Memattach__Profile *parsed;
	struct ma_snapshot_state found;
	assert_int_equal(parse_changed(no_change, &parsed, &found, NULL), 0);
	assert_true(found.heap_trusted);
	memattach__profile__free_unpacked(parsed, NULL);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int code = parse_changed(cases[i].make, &parsed, &found, NULL);
		expect_untrusted(code, parsed, &found, cases[i].reason);
	}
}

/* What a tool does that keeps unknown fields and filters samples: count and CRC are old. */
static void test_filtered_by_others(void **state)
{
	(void)state;
	uint8_t *bytes, raw[4096];
	size_t size;
	Memattach__Profile *profile = snapshot_sample(), *parsed;
	struct ma_snapshot_state found;
	assert_int_equal(ma_snapshot_pack(profile, &bytes, &size, NULL), 0);
	free(bytes);
	profile->sample[0]->value[0]++;
	size = memattach__profile__pack(profile, raw);
	int code = ma_snapshot_parse(raw, size, &parsed, &found, NULL);
	expect_untrusted(code, parsed, &found, "changed after");

	memattach__sample__free_unpacked(profile->sample[--profile->n_sample], NULL);
	size = memattach__profile__pack(profile, raw);
	code = ma_snapshot_parse(raw, size, &parsed, &found, NULL);
	expect_untrusted(code, parsed, &found, "with 3 samples, now 2");
	memattach__profile__free_unpacked(profile, NULL);
}

static void test_two_heaps(void **state)
{
	(void)state;
	uint8_t raw[8192];
	struct ma_error error;
	struct ma_snapshot_state found;
	Memattach__Profile *profile = snapshot_sample(), *parsed;
	size_t size = memattach__profile__pack(profile, raw);
	size += memattach__profile__pack(profile, raw + size);
	assert_int_equal(ma_snapshot_parse(raw, size, &parsed, &found, &error), MA_ERR_PROTOCOL);
	assert_non_null(strstr(error.answer, "field 1000"));
	memattach__profile__free_unpacked(profile, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_untrusted_heaps),
		cmocka_unit_test(test_filtered_by_others),
		cmocka_unit_test(test_two_heaps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
