/* SPDX-License-Identifier: MIT */
/* Room under memory limits, in made-up cgroup trees of both versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "inject/headroom.h"

static char mount[] = "/tmp/memattach-test-XXXXXX";

static int set_up(void **state)
{
	(void)state;
	strcpy(mount + sizeof mount - 7, "XXXXXX");
	return mkdtemp(mount) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(mount, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *file, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", mount, file);
	for (char *slash = path + strlen(mount) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	FILE *out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

static void version2_takes_the_tightest_level(void **state)
{
	(void)state;
	struct ma_headroom room;
	put("a/memory.max", "1000000\n");
	put("a/memory.current", "900000\n");
	put("a/memory.stat", "anon 100\nfile 500000\ninactive_file 300000\n");
	put("a/b/memory.max", "max\n");
	put("a/b/memory.current", "800000\n");
	put("a/b/c/memory.max", "700000\n");
	put("a/b/c/memory.current", "200000\n");
	put("a/b/c/memory.stat", "inactive_file 0\n");
	ma_headroom_from("0::/a/b/c\n", mount, &room);
	assert_true(room.limited);
	assert_string_equal(room.cgroup, "/a");
	assert_int_equal(room.limit_bytes, 1000000);
	assert_int_equal(room.used_bytes, 600000);
	assert_int_equal(room.free_bytes, 400000);
	put("a/b/c/memory.current", "699000\n");
	ma_headroom_from("0::/a/b/c\n", mount, &room);
	assert_string_equal(room.cgroup, "/a/b/c");
	assert_int_equal(room.free_bytes, 1000);
	put("a/b/c/memory.current", "900000\n");
	ma_headroom_from("0::/a/b/c\n", mount, &room);
	assert_int_equal(room.free_bytes, 0);
}

static void version1_has_a_hierarchy_of_its_own(void **state)
{
	(void)state;
	static const char text[] = "9:cpu,cpuacct:/elsewhere\n"
				   "8:memory:/docker/abc\n"
				   "1:name=systemd:/docker/abc\n"
				   "0::/\n";
	struct ma_headroom room;
	put("memory/memory.limit_in_bytes", "9223372036854771712\n");
	put("memory/memory.usage_in_bytes", "1\n");
	ma_headroom_from(text, mount, &room);
	assert_false(room.limited);
	put("memory/docker/abc/memory.limit_in_bytes", "5000\n");
	put("memory/docker/abc/memory.usage_in_bytes", "3000\n");
	put("memory/docker/abc/memory.stat", "inactive_file 7\ntotal_inactive_file 1000\n");
	ma_headroom_from(text, mount, &room);
	assert_true(room.limited);
	assert_int_equal(room.free_bytes, 3000);
	assert_string_equal(room.cgroup, "/docker/abc");
	/* Seen from inside the container, the path does not exist and the mount is the cgroup. */
	put("memory/memory.limit_in_bytes", "4000\n");
	ma_headroom_from("8:memory:/docker/other\n", mount, &room);
	assert_int_equal(room.limit_bytes, 4000);
}

static void nothing_readable_is_no_limit(void **state)
{
	(void)state;
	static const char *const texts[] = {
		"",   "0::/x\n", "garbage",           "8:memory",
		"::", "\n\n",    "8:memoryless:/x\n", "0::/../../other\n"};
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct ma_headroom room;
		ma_headroom_from(texts[i], mount, &room);
		assert_false(room.limited);
		assert_true(room.free_bytes == UINT64_MAX);
	}
	char *longest = malloc(10000);
	memset(longest, '/', 9999);
	memcpy(longest, "0::", 3);
	longest[9999] = '\0';
	struct ma_headroom room;
	ma_headroom_from(longest, mount, &room);
	assert_false(room.limited);
	free(longest);
}

static void says_no_with_the_figures(void **state)
{
	(void)state;
	struct ma_headroom room;
	struct ma_error error = {0};
	assert_int_equal(ma_headroom_check(getpid(), 0, &room, &error), 0);
	int code = ma_headroom_check(getpid(), UINT64_MAX - 1, &room, &error);
	assert_int_equal(code, room.limited ? MA_ERR_UNSAFE : 0);
	if (room.limited) {
		assert_non_null(strstr(error.answer, "MiB"));
		assert_non_null(strstr(error.remedy, "--force"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(version2_takes_the_tightest_level, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(version1_has_a_hierarchy_of_its_own, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(nothing_readable_is_no_limit, set_up, tear_down),
		cmocka_unit_test(says_no_with_the_figures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
