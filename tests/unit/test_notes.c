/* SPDX-License-Identifier: MIT */
/* What a session has to say: once, in order, bounded, and one sentence that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/notes.h"

static void test_once_and_bounded(void **state)
{
	(void)state;
	struct ma_notes notes = {0};
	for (int i = 0; i < MA_NOTES + 3; i++) {
		ma_notes_add(&notes, (uint64_t)i, "number %d", i);
		ma_notes_add(&notes, 1000, "number %d", i);
	}
	assert_int_equal(notes.count, MA_NOTES);
	assert_string_equal(notes.notes[0].text, "number 3");
	assert_int_equal(notes.notes[MA_NOTES - 1].time_ns, MA_NOTES + 2);
}

static void test_update(void **state)
{
	(void)state;
	struct ma_notes notes = {0};
	ma_notes_update(&notes, 1, "failed", " %d times", 1);
	ma_notes_add(&notes, 2, "another");
	ma_notes_update(&notes, 3, "failed", " %d times", 2);
	assert_int_equal(notes.count, 2);
	assert_string_equal(notes.notes[0].text, "failed 2 times");
	/* When it was first true. */
	assert_int_equal(notes.notes[0].time_ns, 1);
	assert_string_equal(notes.notes[1].text, "another");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once_and_bounded),
		cmocka_unit_test(test_update),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
