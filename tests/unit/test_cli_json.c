/* SPDX-License-Identifier: MIT */
/* The JSON writer: structure, escaping, and values that JSON has no word for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>

#include "cli/json_out.h"

static void test_document(void **state)
{
	(void)state;
	struct ma_json json = {0};
	ma_json_begin_object(&json, NULL);
	ma_json_string(&json, "schema", "x/1");
	ma_json_begin_array(&json, "list");
	ma_json_integer(&json, NULL, -3);
	ma_json_begin_object(&json, NULL);
	ma_json_bool(&json, "yes", true);
	ma_json_end_object(&json);
	ma_json_end_array(&json);
	ma_json_begin_array(&json, "empty");
	ma_json_end_array(&json);
	ma_json_unsigned(&json, "most", UINT64_MAX);
	ma_json_real(&json, "real", 0.014);
	ma_json_real(&json, "nan", NAN);
	ma_json_whole(&json, "whole", 29782123.6);
	ma_json_whole(&json, "small", -0.2);
	ma_json_whole(&json, "inf", INFINITY);
	ma_json_time(&json, "time", UINT64_C(1714564800123456789));
	ma_json_time(&json, "never", 0);
	ma_json_null(&json, "null");
	ma_json_end_object(&json);
	assert_string_equal(json.text.data, "{\n"
					    "  \"schema\": \"x/1\",\n"
					    "  \"list\": [\n"
					    "    -3,\n"
					    "    {\n"
					    "      \"yes\": true\n"
					    "    }\n"
					    "  ],\n"
					    "  \"empty\": [],\n"
					    "  \"most\": 18446744073709551615,\n"
					    "  \"real\": 0.014,\n"
					    "  \"nan\": null,\n"
					    "  \"whole\": 29782124,\n"
					    "  \"small\": 0,\n"
					    "  \"inf\": null,\n"
					    "  \"time\": \"2024-05-01T12:00:00.123Z\",\n"
					    "  \"never\": null,\n"
					    "  \"null\": null\n"
					    "}\n");
	ma_text_fini(&json.text);
}

static void assert_string(const char *value, const char *expected)
{
	struct ma_json json = {0};
	ma_json_string(&json, NULL, value);
	assert_string_equal(json.text.data, expected);
	ma_text_fini(&json.text);
}

static void test_strings(void **state)
{
	(void)state;
	assert_string("", "\"\"");
	assert_string("say \"hi\" \\ /", "\"say \\\"hi\\\" \\\\ /\"");
	assert_string("a\nb\t\x1b[0m\x7f", "\"a\\u000ab\\u0009\\u001b[0m\\u007f\"");
	assert_string("caf\xc3\xa9", "\"caf\xc3\xa9\"");
	assert_string("caf\xe9", "\"caf\\\\xe9\"");
	assert_string("\xed\xa0\x80", "\"\\\\xed\\\\xa0\\\\x80\"");
	assert_string("\xe2\x80\xa8", "\"\\u2028\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_strings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
