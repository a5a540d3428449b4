/* SPDX-License-Identifier: MIT */
/* Memory cgroups in every arrangement that hosts and containers have, in a made-up /proc and /sys.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/cgroup.h"
#include "daemon/cgroup_find.h"
#include "fake_root.h"

#define V2_MOUNT     "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
#define ROOT_MOUNT   "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
#define UNLIMITED_V1 "9223372036854771712\n"

static const char *root;
static int proc_fd = -1;

static int set_up(void **state)
{
	(void)state;
	root = fake_root_make();
	fake_root_write("/proc/self/mountinfo", ROOT_MOUNT V2_MOUNT);
	fake_root_write("/proc/vmstat", "pgmajfault 1\noom_kill 7\nnuma_hit 2\n");
	fake_root_write("/proc/4242/mountinfo", "");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (proc_fd >= 0)
		close(proc_fd);
	proc_fd = -1;
	fake_root_remove();
	return 0;
}

static void open_target(struct ma_cgroup *cgroup, const char *text)
{
	char path[128];
	fake_root_write("/proc/4242/cgroup", text);
	snprintf(path, sizeof path, "%s/proc/4242", root);
	if (proc_fd < 0)
		proc_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(proc_fd >= 0);
	ma_cgroup_open(cgroup, proc_fd, root);
}

/* One level of version 2, at /sys/fs/cgroup<path>. */
static void level_v2(const char *path, const char *use, const char *limit, int kills)
{
	char file[256], text[128];
	snprintf(file, sizeof file, "/sys/fs/cgroup%s/memory.current", path);
	fake_root_write(file, use);
	snprintf(file, sizeof file, "/sys/fs/cgroup%s/memory.max", path);
	fake_root_write(file, limit);
	snprintf(file, sizeof file, "/sys/fs/cgroup%s/memory.events", path);
	snprintf(text, sizeof text, "low 0\nhigh 0\nmax 9\noom 3\noom_kill %d\noom_group_kill 0\n",
		 kills);
	fake_root_write(file, text);
}

static void level_v1(const char *path, const char *use, const char *limit, int kills)
{
	char file[256], text[128];
	snprintf(file, sizeof file, "/sys/fs/cgroup/memory%s/memory.usage_in_bytes", path);
	fake_root_write(file, use);
	snprintf(file, sizeof file, "/sys/fs/cgroup/memory%s/memory.limit_in_bytes", path);
	fake_root_write(file, limit);
	snprintf(file, sizeof file, "/sys/fs/cgroup/memory%s/memory.oom_control", path);
	snprintf(text, sizeof text, "oom_kill_disable 0\nunder_oom 0\noom_kill %d\n", kills);
	fake_root_write(file, text);
}

static void test_v2(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	level_v2("/system.slice", "5000000\n", "6000000\n", 2);
	level_v2("/system.slice/app.service", "1000000\n", "max\n", 1);
	open_target(&cgroup, "0::/system.slice/app.service\n");
	assert_string_equal(cgroup.path, "/system.slice/app.service");
	assert_int_equal(cgroup.level_count, 2);
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.version, 2);
	assert_int_equal(figures.use_bytes, 1000000);
	assert_int_equal(figures.limit_bytes, 6000000);
	assert_int_equal(figures.limit_use_bytes, 5000000);
	assert_int_equal(figures.headroom_bytes, 1000000);
	assert_true(figures.oom_kills_known);
	assert_int_equal(figures.oom_kills, 1);

	/* Limits and use are read anew each time. */
	level_v2("/system.slice/app.service", "1900000\n", "2000000\n", 1);
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.limit_bytes, 2000000);
	assert_int_equal(figures.limit_use_bytes, 1900000);
	assert_int_equal(figures.headroom_bytes, 100000);
	level_v2("/system.slice/app.service", "2000100\n", "2000000\n", 1);
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.headroom_bytes, 0);
	ma_cgroup_close(&cgroup);
}

static void test_no_limit(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	level_v2("/user.slice", "4096\n", "max\n", 0);
	open_target(&cgroup, "0::/user.slice\n");
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.use_bytes, 4096);
	assert_int_equal(figures.limit_bytes, 0);
	assert_int_equal(figures.headroom_bytes, UINT64_MAX);
	ma_cgroup_close(&cgroup);
}

/* A cgroup namespace: the container's own cgroup is the root of what it sees, files and all. */
static void test_v2_container(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	level_v2("", "300\n", "1000\n", 0);
	open_target(&cgroup, "0::/\n");
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.version, 2);
	assert_int_equal(figures.limit_bytes, 1000);
	assert_int_equal(figures.use_bytes, 300);
	ma_cgroup_close(&cgroup);
}

/* The controller is not on for the leaf: the nearest cgroup that accounts is meant. */
static void test_v2_leaf_without_controller(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	level_v2("/a", "500\n", "900\n", 4);
	fake_root_write("/sys/fs/cgroup/a/b/cgroup.procs", "4242\n");
	open_target(&cgroup, "0::/a/b\n");
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.use_bytes, 500);
	assert_int_equal(figures.limit_bytes, 900);
	assert_int_equal(figures.oom_kills, 4);
	ma_cgroup_close(&cgroup);
}

#define V1_MOUNTS                                                                                  \
	ROOT_MOUNT                                                                                 \
	"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"                              \
	"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"                        \
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

static void test_v1_hybrid(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	fake_root_write("/proc/self/mountinfo", V1_MOUNTS);
	level_v1("", "90000\n", UNLIMITED_V1, 0);
	level_v1("/app", "70000\n", "80000\n", 5);
	open_target(&cgroup, "9:name=systemd:/x\n4:memory:/app\n1:cpu,cpuacct:/y\n0::/z\n");
	assert_int_equal(cgroup.version, 1);
	assert_string_equal(cgroup.path, "/app");
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.use_bytes, 70000);
	assert_int_equal(figures.limit_bytes, 80000);
	assert_int_equal(figures.headroom_bytes, 10000);
	assert_int_equal(figures.oom_kills, 5);
	ma_cgroup_close(&cgroup);
}

/* Docker with version 1: the mount shows the container's cgroup only, the pod's limit is above. */
static void test_v1_container(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	fake_root_write("/proc/self/mountinfo", ROOT_MOUNT
			"35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro master:3 - cgroup "
			"cgroup rw,memory\n");
	level_v1("", "70000\n", UNLIMITED_V1, 0);
	fake_root_write("/sys/fs/cgroup/memory/memory.stat",
			"cache 1\nhierarchical_memory_limit 75000\ntotal_cache 1\n");
	open_target(&cgroup, "4:memory:/docker/abc\n0::/\n");
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.version, 1);
	assert_int_equal(figures.use_bytes, 70000);
	assert_int_equal(figures.limit_bytes, 75000);
	assert_int_equal(figures.headroom_bytes, 5000);
	ma_cgroup_close(&cgroup);
}

/* Another container's process: our mounts do not show its cgroup, its own do. */
static void test_through_the_target(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	fake_root_write("/proc/4242/mountinfo",
			"77 70 0:30 /../def /run/my\\040cgroup ro - cgroup2 cgroup rw\n");
	fake_root_write("/proc/4242/root/run/my cgroup/sub/memory.current", "11\n");
	fake_root_write("/proc/4242/root/run/my cgroup/sub/memory.max", "22\n");
	open_target(&cgroup, "0::/../def/sub\n");
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.version, 2);
	assert_int_equal(figures.use_bytes, 11);
	assert_int_equal(figures.limit_bytes, 22);
	assert_false(figures.oom_kills_known);
	ma_cgroup_close(&cgroup);
}

static void expect_unknown(const char *text)
{
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	open_target(&cgroup, text);
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.version, 0);
	assert_int_equal(figures.use_bytes, 0);
	assert_int_equal(figures.limit_bytes, 0);
	assert_int_equal(figures.headroom_bytes, UINT64_MAX);
	ma_cgroup_close(&cgroup);
}

static void test_unknown(void **state)
{
	(void)state;
	char long_text[9000];
	level_v2("/a", "1\n", "2\n", 0);
	expect_unknown("");
	expect_unknown("nonsense\n:::::\n");
	expect_unknown("0::/a/../a\n");
	expect_unknown("0::/../a\n");
	expect_unknown("0::/gone (deleted)\n");
	expect_unknown("0::/\n"); /* the root accounts nothing */
	memset(long_text, 'x', sizeof long_text);
	memcpy(long_text, "0::/", 4);
	long_text[sizeof long_text - 1] = '\0';
	expect_unknown(long_text);
	fake_root_write("/proc/self/mountinfo", "");
	expect_unknown("0::/a\n");
}

/* A target may lay out its own mount namespace as it likes: it leads us nowhere, and blocks
 * nothing. */
static void test_traps(void **state)
{
	(void)state;
	char path[256], other[256];
	struct ma_cgroup cgroup;
	level_v2("/real", "1\n", "2\n", 0);
	snprintf(path, sizeof path, "%s/sys/fs/cgroup/link", root);
	assert_int_equal(symlink("real", path), 0);
	expect_unknown("0::/link\n");

	fake_root_write("/sys/fs/cgroup/pipe/memory.max", "2\n");
	snprintf(path, sizeof path, "%s/sys/fs/cgroup/pipe/memory.current", root);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect_unknown("0::/pipe\n");

	fake_root_write("/sys/fs/cgroup/file/memory.max", "2\n");
	snprintf(path, sizeof path, "%s/sys/fs/cgroup/file/memory.current", root);
	snprintf(other, sizeof other, "%s/sys/fs/cgroup/real/memory.current", root);
	assert_int_equal(symlink(other, path), 0);
	expect_unknown("0::/file\n");

	open_target(&cgroup, "0::/real\n");
	assert_int_equal(cgroup.version, 2);
	ma_cgroup_close(&cgroup);
}

static void test_deep(void **state)
{
	(void)state;
	char path[512] = "", text[600];
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	level_v2("", "9\n", "10\n", 0);
	for (int i = 0; i < MA_CGROUP_LEVELS + 4; i++) {
		strcat(path, "/d");
		level_v2(path, "9\n", "max\n", 0);
	}
	snprintf(text, sizeof text, "0::%s\n", path);
	open_target(&cgroup, text);
	assert_int_equal(cgroup.level_count, MA_CGROUP_LEVELS);
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.use_bytes, 9);
	ma_cgroup_close(&cgroup);
	for (int i = 0; i < MA_CGROUP_DEPTH; i++)
		strcat(path, "/d");
	snprintf(text, sizeof text, "0::%s\n", path);
	expect_unknown(text);
}

static void test_moved(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	level_v2("/a", "1\n", "2\n", 0);
	open_target(&cgroup, "0::/a\n");
	assert_false(ma_cgroup_moved(&cgroup, proc_fd));
	fake_root_write("/proc/4242/cgroup", "0::/b\n");
	assert_true(ma_cgroup_moved(&cgroup, proc_fd));
	ma_cgroup_close(&cgroup);
}

static void expect_rose(const struct ma_cgroup *cgroup, bool rose, uint64_t from, uint64_t to,
			const char *whose)
{
	uint64_t found_from = 99, found_to = 99;
	const char *found_whose = "";
	assert_int_equal(ma_cgroup_oom_rose(cgroup, &found_from, &found_to, &found_whose), rose);
	assert_int_equal(found_from, from);
	assert_int_equal(found_to, to);
	assert_string_equal(found_whose, whose);
}

static void test_oom_kills(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	struct ma_cgroup_figures figures;
	level_v2("/a", "1\n", "2\n", 10);
	level_v2("/a/b", "1\n", "2\n", 3);
	open_target(&cgroup, "0::/a/b\n");
	expect_rose(&cgroup, false, 3, 3, "the cgroup's");
	level_v2("/a/b", "1\n", "2\n", 4);
	expect_rose(&cgroup, true, 3, 4, "the cgroup's");
	ma_cgroup_read(&cgroup, &figures);
	assert_int_equal(figures.oom_kills, 4);
	expect_rose(&cgroup, false, 4, 4, "the cgroup's");

	/* The cgroup is gone before it can be asked: the one above counts it too. */
	close(cgroup.level[0].events_fd);
	cgroup.level[0].events_fd = -1;
	expect_rose(&cgroup, false, 10, 10, "the parent cgroup's");
	level_v2("/a", "1\n", "2\n", 11);
	expect_rose(&cgroup, true, 10, 11, "the parent cgroup's");
	ma_cgroup_close(&cgroup);
}

static void test_oom_kills_of_the_system(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	open_target(&cgroup, "0::/\n");
	expect_rose(&cgroup, false, 7, 7, "the system's");
	fake_root_write("/proc/vmstat", "oom_kill 8\n");
	expect_rose(&cgroup, true, 7, 8, "the system's");
	ma_cgroup_close(&cgroup);
}

static int count_fds(void)
{
	int count = 0;
	for (int fd = 0; fd < 512; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_nothing_leaks(void **state)
{
	(void)state;
	struct ma_cgroup cgroup;
	level_v2("/a/b/c", "1\n", "2\n", 0);
	open_target(&cgroup, "0::/a/b/c\n");
	ma_cgroup_close(&cgroup);
	int before = count_fds();
	for (int i = 0; i < 10; i++) {
		open_target(&cgroup, "0::/a/b/c\n");
		ma_cgroup_close(&cgroup);
		ma_cgroup_close(&cgroup);
		open_target(&cgroup, "0::/a/b/none\n");
		ma_cgroup_close(&cgroup);
	}
	assert_int_equal(count_fds(), before);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_v2),
		TEST(test_no_limit),
		TEST(test_v2_container),
		TEST(test_v2_leaf_without_controller),
		TEST(test_v1_hybrid),
		TEST(test_v1_container),
		TEST(test_through_the_target),
		TEST(test_unknown),
		TEST(test_traps),
		TEST(test_deep),
		TEST(test_moved),
		TEST(test_oom_kills),
		TEST(test_oom_kills_of_the_system),
		TEST(test_nothing_leaks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
