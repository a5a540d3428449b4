/* SPDX-License-Identifier: MIT */
/* The filter's patterns: what matches, what is refused, and that none takes long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "proto/pattern.h"

static struct ma_pattern pattern;

static void check_match(const char *source, const char *text, bool expected)
{
	const char *reason;
	if (!ma_pattern_compile(&pattern, source, &reason))
		fail_msg("/%s/ does not compile: %s", source, reason);
	if (ma_pattern_matches(&pattern, text) != expected)
		fail_msg("/%s/ %s \"%s\"", source, expected ? "misses" : "finds", text);
}

static void test_finds(void **state)
{
	(void)state;
	static const struct {
		const char *source, *text;
	} found[] = {
		{"", ""},
		{"", "anything"},
		{"put", "Cache.put app/cache.py:88"},
		{"cache", "Cache.put"},
		{"Cache", "Cache.put"},
		{".", "x"},
		{"^Cache", "Cache.put"},
		{"88$", "app/cache.py:88"},
		{"^$", ""},
		{"a*b", "b"},
		{"a*b", "xaaab"},
		{"ca+che", "caaache"},
		{"colou?r", "color"},
		{"x{3}", "axxxb"},
		{"^x{2,3}$", "xxx"},
		{"^x{2,}$", "xxxxxx"},
		{"^(ab){2}$", "abab"},
		{"put|get", "Cache.get"},
		{"^(put|get|)$", ""},
		{"[a-c]x", "bx"},
		{"[^a-c]x", "dx"},
		{"[]x]", "]"},
		{"[a-]", "-"},
		{"\\.py:\\d+$", "a.py:12"},
		{"\\w+\\s\\w+", "one two"},
		{"\\W", "a b"},
		{"\\bput\\b", "Cache.put app"},
		{"\\Bat", "cat"},
		{"(?:a|b)+c", "ababc"},
		{"a.*?c", "abbbc"},
		{"{", "a{b"},
		{"a{,2}", "a{,2}"},
		{"\\\\", "a\\b"},
		{"\\x", "x"},
		{"\\A", "a"},
		{"größe", "Größe.messen"},
		{"größe", "GRÖßE"},
		{"日.語", "日本語"},
		{"\xff", "a\xff"},
		{"(a*)*b", "aab"},
		{"(|a)+$", "aaa"},
		{"[\\d_]z", "_z"},
	};
	for (size_t i = 0; i < sizeof found / sizeof found[0]; i++)
		check_match(found[i].source, found[i].text, true);
}

static void test_does_not_find(void **state)
{
	(void)state;
	static const struct {
		const char *source, *text;
	} missed[] = {
		{".", ""},         {"Cache", "cache"},   {"^put", "Cache.put"},
		{"put$", "put "},  {"^x{2,3}$", "xxxx"}, {"^x{3}$", "xx"},
		{"[^a-c]", "abc"}, {"\\bput", "output"}, {"\\d", "abc"},
		{"a.c", "ac"},     {"日.語", "日語"},    {"^(ab){2}$", "ab"},
		{"x{0}y", "x"},
	};
	for (size_t i = 0; i < sizeof missed / sizeof missed[0]; i++)
		check_match(missed[i].source, missed[i].text, false);
}

static void test_refuses(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"(",
		")",
		"a)",
		"(a",
		"[",
		"[]",
		"[a",
		"[^",
		"*",
		"+a",
		"a|*",
		"a**",
		"a\\",
		"[z-a]",
		"x{3,2}",
		"x{1000}",
		"[\\d-z]x{999}",
		"((((((((a{99}){99}){99}){99}){99}){99}){99}){99})",
		"((((((((){99}){99}){99}){99}){99}){99}){99}){99}",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		const char *reason = NULL;
		if (ma_pattern_compile(&pattern, wrong[i], &reason))
			fail_msg("/%s/ was taken", wrong[i]);
		assert_non_null(reason);
	}
	char deep[512], wide[2 * MA_PATTERN_BYTES];
	const char *reason;
	memset(deep, '(', sizeof deep - 1);
	deep[sizeof deep - 1] = 0;
	assert_false(ma_pattern_compile(&pattern, deep, &reason));
	memset(wide, 'a', sizeof wide - 1);
	wide[sizeof wide - 1] = 0;
	assert_false(ma_pattern_compile(&pattern, wide, &reason));
	memset(wide, '|', 600);
	wide[600] = 0;
	assert_false(ma_pattern_compile(&pattern, wide, &reason));
}

/* Every string of a few awkward signs is either refused or runs. */
static void test_any_input(void **state)
{
	(void)state;
	static const char signs[] = "a(|)[]*+?{}^$\\-,2.d";
	enum { LENGTH = 4, COUNT = sizeof signs - 1 };
	unsigned taken = 0;
	for (unsigned n = 0; n < COUNT * COUNT * COUNT * COUNT; n++) {
		char source[LENGTH + 1] = "";
		unsigned rest = n;
		for (int i = 0; i < LENGTH; i++, rest /= COUNT)
			source[i] = signs[rest % COUNT];
		const char *reason;
		if (ma_pattern_compile(&pattern, source, &reason)) {
			ma_pattern_matches(&pattern, "aa(2)-d{}");
			taken++;
		}
	}
	assert_true(taken > 1000);
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* What takes a backtracking matcher longer than the universe lasts. */
static void test_no_explosion(void **state)
{
	(void)state;
	char text[2001];
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = 0;
	static const char *const sources[] = {"(a*)*b", "(a|aa)+$b", "(.*)(.*)(.*)(.*)(.*)x",
					      "(a?){60}a{60}b"};
	for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
		double start = seconds();
		check_match(sources[i], text, false);
		assert_true(seconds() - start < 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_finds),        cmocka_unit_test(test_does_not_find),
		cmocka_unit_test(test_refuses),      cmocka_unit_test(test_any_input),
		cmocka_unit_test(test_no_explosion),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
