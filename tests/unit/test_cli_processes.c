/* SPDX-License-Identifier: MIT */
/* Processes and their parents: descendants, and who would adopt an orphan. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <sys/prctl.h>
#include <unistd.h>

#include "cli/orphan.h"
#include "cli/process_tree.h"

static void assert_below(const struct ma_process_entry *entries, size_t count, pid_t root,
			 const char *expected)
{
	pid_t *pids;
	char found[128] = "";
	size_t length = ma_process_tree_below(entries, count, root, &pids);
	for (size_t i = 0; i < length; i++)
		snprintf(found + strlen(found), sizeof found - strlen(found), "%s%d", i ? " " : "",
			 (int)pids[i]);
	assert_string_equal(found, expected);
	free(pids);
}

static void test_below(void **state)
{
	(void)state;
	static const struct ma_process_entry entries[] = {
		{.pid = 1, .parent = 0},   {.pid = 10, .parent = 1},  {.pid = 11, .parent = 10},
		{.pid = 12, .parent = 11}, {.pid = 13, .parent = 10}, {.pid = 20, .parent = 1},
	};
	assert_below(entries, 6, 10, "11 13 12");
	assert_below(entries, 6, 1, "10 20 11 13 12");
	assert_below(entries, 6, 12, "");
	assert_below(entries, 6, 99, "");
	assert_below(entries, 0, 1, "");
}

/* PIDs that were reused while the list was read can make a circle. */
static void test_below_in_a_circle(void **state)
{
	(void)state;
	static const struct ma_process_entry entries[] = {
		{.pid = 10, .parent = 12},
		{.pid = 11, .parent = 10},
		{.pid = 12, .parent = 11},
		{.pid = 13, .parent = 13},
	};
	assert_below(entries, 4, 10, "11 12");
	assert_below(entries, 4, 13, "");
}

static void test_entry(void **state)
{
	(void)state;
	struct ma_process_entry entry;
	assert_int_equal(prctl(PR_SET_NAME, "a) S 1 (b"), 0);
	assert_int_equal(ma_process_entry_read(getpid(), &entry), 0);
	assert_string_equal(entry.name, "a) S 1 (b");
	assert_int_equal(entry.pid, getpid());
	assert_int_equal(entry.parent, getppid());
	assert_true(entry.state == 'R');
	assert_true(entry.rss_bytes > 65536);
	assert_int_equal(ma_process_entry_read(0x7fffffff, &entry), -1);
}

static void test_tree_holds_ourselves(void **state)
{
	(void)state;
	struct ma_process_entry *entries;
	size_t count = ma_process_tree_read(&entries), found = 0;
	for (size_t i = 0; i < count; i++)
		found += entries[i].pid == getpid();
	assert_int_equal(found, 1);
	free(entries);
}

static void test_init_names(void **state)
{
	(void)state;
	assert_true(ma_orphan_is_init("systemd"));
	assert_true(ma_orphan_is_init("tini"));
	assert_true(ma_orphan_is_init("sh"));
	assert_false(ma_orphan_is_init("python3"));
	assert_false(ma_orphan_is_init("gunicorn"));
	assert_false(ma_orphan_is_init("uwsgi"));
	assert_false(ma_orphan_is_init(""));
}

static void test_target_above_us(void **state)
{
	(void)state;
	char why[160] = "";
	pid_t parent = getppid(), one = 1;
	if (parent > 1) {
		assert_false(ma_orphan_allowed(&parent, 1, why, sizeof why));
		assert_non_null(strstr(why, "started by process"));
	}
	assert_false(ma_orphan_allowed(&one, 1, why, sizeof why));
	assert_non_null(strstr(why, "PID 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_below),      cmocka_unit_test(test_below_in_a_circle),
		cmocka_unit_test(test_entry),      cmocka_unit_test(test_tree_holds_ourselves),
		cmocka_unit_test(test_init_names), cmocka_unit_test(test_target_above_us),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
