/* SPDX-License-Identifier: MIT */
/* Strings from a target on a terminal: nothing in them is obeyed, and columns are counted right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/display.h"
#include "cli/width.h"

static void assert_escaped(const char *string, const char *expected)
{
	struct ma_text text = {0};
	ma_display_escape(&text, string);
	assert_string_equal(ma_text_string(&text), expected);
	ma_text_fini(&text);
}

static void test_escape(void **state)
{
	(void)state;
	assert_escaped("", "");
	assert_escaped("plain /srv/app.py", "plain /srv/app.py");
	assert_escaped("\033[31mred\033]0;title\007", "\\x1b[31mred\\x1b]0;title\\x07");
	assert_escaped("two\nlines\tand\rmore", "two\\nlines\\tand\\x0dmore");
	assert_escaped("caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac",
		       "caf\xc3\xa9 \xe6\x97\xa5\xe6\x9c\xac");
	assert_escaped("caf\xe9", "caf\\xe9");
	/* CSI as a C1 code point, which some terminals obey. */
	assert_escaped("\xc2\x9b"
		       "31m",
		       "\\x9b31m");
	/* Direction overrides, isolates, line separators. */
	assert_escaped("a\xe2\x80\xae"
		       "b\xe2\x81\xa6",
		       "a\\u202eb\\u2066");
	assert_escaped("\xe2\x80\xa8", "\\u2028");
	/* Overlong, surrogate, too large, cut short: byte by byte. */
	assert_escaped("\xc0\xaf", "\\xc0\\xaf");
	assert_escaped("\xed\xa0\x80", "\\xed\\xa0\\x80");
	assert_escaped("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80");
	assert_escaped("\xe6\x97", "\\xe6\\x97");
	assert_escaped("\x7f", "\\x7f");
}

static void test_width(void **state)
{
	(void)state;
	assert_int_equal(ma_width_of('a'), 1);
	assert_int_equal(ma_width_of(0xe9), 1);
	assert_int_equal(ma_width_of(0x301), 0);
	assert_int_equal(ma_width_of(0x200d), 0);
	assert_int_equal(ma_width_of(0x65e5), 2);
	assert_int_equal(ma_width_of(0xff21), 2);
	assert_int_equal(ma_width_of(0x1f600), 2);
	assert_int_equal(ma_width_of(0x20000), 2);
	assert_int_equal(ma_width_of(0x10ffff), 1);
	assert_int_equal(ma_display_columns("e\xcc\x81\xe6\x97\xa5x"), 4);
}

static void assert_cut(const char *string, unsigned columns, const char *start, const char *end)
{
	struct ma_text text = {0};
	unsigned taken = ma_display_add_start(&text, string, columns);
	assert_string_equal(ma_text_string(&text), start);
	assert_int_equal(taken, ma_display_columns(start));
	ma_text_fini(&text);
	taken = ma_display_add_end(&text, string, columns);
	assert_string_equal(ma_text_string(&text), end);
	assert_int_equal(taken, ma_display_columns(end));
	ma_text_fini(&text);
}

static void test_cut(void **state)
{
	(void)state;
	assert_cut("app/cache.py", 12, "app/cache.py", "app/cache.py");
	assert_cut("app/cache.py", 11, "app/cach...", "...cache.py");
	assert_cut("app/cache.py", 3, "...", "...");
	assert_cut("app/cache.py", 1, ".", ".");
	assert_cut("app/cache.py", 0, "", "");
	/* A wide character that does not fit any more is left out. */
	assert_cut("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 5, "\xe6\x97\xa5...", "...\xe8\xaa\x9e");
	assert_cut("\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e", 4, "...", "...");
}

static void test_paths(void **state)
{
	(void)state;
	assert_string_equal(ma_display_path("/usr/lib/python3.11/json/decoder.py"),
			    "json/decoder.py");
	assert_string_equal(ma_display_path("/v/lib/python3.12/site-packages/flask/app.py"),
			    "flask/app.py");
	assert_string_equal(ma_display_path("/usr/lib/python3/dist-packages/yaml/x.py"),
			    "yaml/x.py");
	assert_string_equal(ma_display_path("/srv/app/cache.py"), "/srv/app/cache.py");
	assert_string_equal(ma_display_path("/usr/lib/python3.11"), "/usr/lib/python3.11");
	assert_string_equal(ma_display_path(""), "");
	assert_string_equal(ma_display_command("/usr/bin/python3 /srv/x.py"), "python3 /srv/x.py");
	assert_string_equal(ma_display_command("gunicorn: worker /x"), "gunicorn: worker /x");
	assert_string_equal(ma_display_command("/usr/bin/ x"), "/usr/bin/ x");
	assert_string_equal(ma_display_command("/"), "/");
	assert_string_equal(ma_display_command(""), "");
	assert_true(ma_display_own_code("/srv/app/cache.py"));
	assert_true(ma_display_own_code("app.py"));
	assert_false(ma_display_own_code("/usr/lib/python3.11/json/decoder.py"));
	assert_false(ma_display_own_code("<frozen importlib._bootstrap>"));
	assert_false(ma_display_own_code(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_width),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_paths),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
