/* SPDX-License-Identifier: MIT */
/*
 * One stack out of two: where Python frames go among the native ones, version by version, and what
 * is left out. Frames are written as letters: native ones n (shown), L (the loop), g (how functions
 * are called), ? (of the interpreter, nameless); Python ones in capitals where they are the
 * outermost of their call of the loop, '.' when they are still being set up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/stack_merge.h"

enum { MOST = 64 };

static enum ma_native_role role_of(char letter)
{
	switch (letter) {
	case 'L':
		return MA_NATIVE_LOOP;
	case 'g':
		return MA_NATIVE_GLUE;
	case '?':
		return MA_NATIVE_NAMELESS;
	default:
		return MA_NATIVE_OTHER;
	}
}

/* Merges and writes the result: native frames as they are, Python frames with a '-' in front. */
static struct ma_merge merge(const char *native, bool complete, const char *python, char *result)
{
	enum ma_native_role role[MOST];
	uint8_t mark[MOST] = {0};
	struct ma_merged merged[2 * MOST];
	uint32_t natives = (uint32_t)strlen(native), places = (uint32_t)strlen(python);
	struct ma_merge done;

	for (uint32_t i = 0; i < natives; i++)
		role[i] = role_of(native[i]);
	for (uint32_t i = 0; i < places; i++) {
		if (python[i] >= 'A' && python[i] <= 'Z')
			mark[i] |= MA_PYTHON_ENTRY;
		if (python[i] == '.')
			mark[i] |= MA_PYTHON_HIDDEN;
	}
	done = ma_stack_merge(role, natives, complete, mark, places, merged);
	for (uint32_t i = 0; i < done.count; i++) {
		if (merged[i].python)
			*result++ = '-';
		*result++ = merged[i].python ? python[merged[i].index] : native[merged[i].index];
	}
	*result = '\0';
	return done;
}

static void test_cases(void **state)
{
	static const struct {
		const char *native;
		bool complete;
		const char *python;
		const char *expected;
		bool exact;
		uint32_t folded;
	} cases[] = {
		/* one call for each frame (to 3.10), and several in one call (3.11 on) */
		{"nLgLgLn", true, "ABC", "n-A-B-Cn", true, 5},
		{"nLn", true, "abC", "n-a-b-Cn", true, 1},
		/* C code that calls back stays between its frames, glue does not */
		{"nLgnngLgn", true, "AbC", "n-Ann-b-Cn", true, 5},
		/* a call that has not got its frame yet, or has it no more */
		{"nLgLn", true, "A", "n-An", true, 3},
		{"LLLn", true, "A", "-An", false, 3},
		/* a frame that is being set up is counted and not shown */
		{"LgLn", true, ".bCD", "-b-C-Dn", true, 3},
		/* nameless ones: shown inside and outside, left out between */
		{"n?L?L?n", true, "AB", "n?-A-B?n", true, 3},
		/* no Python at all, also where the interpreter's functions run */
		{"nn", true, "", "nn", true, 0},
		{"ng?n", true, "", "ng?n", true, 0},
		/* the native stack was cut: what Python knows goes on */
		{"nL", false, "AB", "n-A-B", true, 1},
		{"n", false, "AB", "n-A-B", true, 0},
		{"nLL", false, "A", "n-A", false, 2},
		/* the loop could not be told */
		{"n???n", true, "AB", "n-A-Bn", false, 3},
		{"n?L?n", true, "AB", "n?-A-B?n", false, 1},
		{"nn", true, "AB", "nn-A-B", false, 0},
		/* Python only */
		{"", false, "abC", "-a-b-C", true, 0},
		{"", true, "", "", true, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char result[4 * MOST];
		struct ma_merge done =
			merge(cases[i].native, cases[i].complete, cases[i].python, result);

		if (strcmp(result, cases[i].expected) || done.exact != cases[i].exact ||
		    done.folded != cases[i].folded)
			fail_msg("%s with %s: \"%s\", exact %d, folded %u", cases[i].native,
				 cases[i].python, result, done.exact, done.folded);
	}
}

static void test_roles(void **state)
{
	(void)state;
	assert_int_equal(ma_stack_role("_PyEval_EvalFrameDefault"), MA_NATIVE_LOOP);
	assert_int_equal(ma_stack_role("_PyEval_EvalFrameDefault.cold"), MA_NATIVE_LOOP);
	assert_int_equal(ma_stack_role("_PyEval_EvalFrameDefaults"), MA_NATIVE_OTHER);
	assert_int_equal(ma_stack_role("_PyFunction_Vectorcall.localalias"), MA_NATIVE_GLUE);
	assert_int_equal(ma_stack_role("_TAIL_CALL_CALL_FUNCTION_EX"), MA_NATIVE_GLUE);
	assert_int_equal(ma_stack_role("list_sort"), MA_NATIVE_OTHER);
	assert_int_equal(ma_stack_role(""), MA_NATIVE_OTHER);
	assert_int_equal(ma_stack_role(NULL), MA_NATIVE_NAMELESS);
}

static void test_allocators(void **state)
{
	(void)state;
	assert_true(ma_stack_is_allocator("malloc"));
	assert_true(ma_stack_is_allocator("operator new(unsigned long)"));
	assert_true(ma_stack_is_allocator("operator new[](unsigned long, std::nothrow_t const&)"));
	assert_true(ma_stack_is_allocator("PyObject_Malloc"));
	assert_true(ma_stack_is_allocator("_PyObject_Malloc.constprop.0"));
	assert_false(ma_stack_is_allocator("mallocate"));
	assert_false(ma_stack_is_allocator("strdup"));
	assert_false(ma_stack_is_allocator("operator news(int)"));
	assert_false(ma_stack_is_allocator(""));
	assert_false(ma_stack_is_allocator(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_roles),
		cmocka_unit_test(test_allocators),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
