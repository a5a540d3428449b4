/* SPDX-License-Identifier: MIT */
/* Errors in words: what, answer, remedy line by line, and nothing that a terminal would obey. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/errors.h"

static void assert_written(const struct ma_error *error, const char *expected)
{
	struct ma_text text = {0};
	ma_errors_write(&text, error);
	assert_string_equal(text.data, expected);
	ma_text_fini(&text);
}

static void test_text(void **state)
{
	(void)state;
	struct ma_error error;
	ma_error_set(&error, MA_ERR_PERMISSION, 1, "attaching to %d", 4242);
	ma_error_remedy(&error, "sudo memattach 4242\nsudo sysctl kernel.yama.ptrace_scope=0");
	assert_written(&error, "memattach: attaching to 4242: Operation not permitted\n"
			       "  sudo memattach 4242\n"
			       "  sudo sysctl kernel.yama.ptrace_scope=0\n");
	ma_error_set(&error, MA_ERR_FAILED, 0, "a \033[31m name");
	ma_error_answer(&error, "an\033answer");
	assert_written(&error, "memattach: a \\x1b[31m name: an\\x1banswer\n");
	ma_error_set(&error, MA_ERR_FAILED, 0, "only what");
	assert_written(&error, "memattach: only what\n");
}

static void test_json(void **state)
{
	(void)state;
	struct ma_json json = {0};
	struct ma_error error;
	ma_error_set(&error, MA_ERR_UNSAFE, 0, "w");
	ma_errors_json(&json, 7, &error);
	assert_string_equal(json.text.data, "{\n  \"pid\": 7,\n  \"exit\": 6,\n  \"what\": \"w\",\n"
					    "  \"answer\": \"\",\n  \"remedy\": \"\"\n}\n");
	ma_text_fini(&json.text);
}

static void test_first_code_wins(void **state)
{
	(void)state;
	assert_int_equal(ma_errors_first(0, 0), 0);
	assert_int_equal(ma_errors_first(0, 5), 5);
	assert_int_equal(ma_errors_first(3, 5), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_first_code_wins),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
