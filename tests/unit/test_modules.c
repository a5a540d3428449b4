/* SPDX-License-Identifier: MIT */
/* The registry of a target's modules: ids, and files as the target sees them; the target is us. */
#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/modules.h"

struct fixture {
	struct ma_modules modules;
	int proc_fd;
	char path[64];
	uint64_t inode;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	struct stat status;
	int fd;
	assert_non_null(fixture);
	fixture->proc_fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fixture->proc_fd >= 0);
	ma_modules_init(&fixture->modules, getpid(), fixture->proc_fd);
	snprintf(fixture->path, sizeof fixture->path, "/tmp/ma_modules.XXXXXX");
	fd = mkstemp(fixture->path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "file", 4), 4);
	assert_int_equal(fstat(fd, &status), 0);
	close(fd);
	fixture->inode = status.st_ino;
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	ma_modules_fini(&fixture->modules);
	unlink(fixture->path);
	close(fixture->proc_fd);
	free(fixture);
	return 0;
}

static void test_ids(void **state)
{
	struct ma_modules *modules = &((struct fixture *)*state)->modules;
	assert_null(ma_modules_find(modules, 0));
	for (uint32_t i = 1; i <= 1000; i++) {
		const struct ma_native_module module = {.start = i, .path = "/a"};
		assert_int_equal(ma_modules_add(modules, &module), i);
	}
	for (uint32_t i = 1; i <= 1000; i++)
		assert_int_equal(ma_modules_find(modules, i)->start, i);
	assert_null(ma_modules_find(modules, 1001));
}

static void test_no_more_than_frames_can_name(void **state)
{
	struct ma_modules *modules = &((struct fixture *)*state)->modules;
	const struct ma_native_module module = {.path = ""};
	for (uint32_t i = 1; i <= MA_MODULES; i++)
		assert_int_equal(ma_modules_add(modules, &module), i);
	assert_int_equal(ma_modules_add(modules, &module), 0);
}

static void test_open(void **state)
{
	struct fixture *fixture = *state;
	char text[8] = "";
	const struct ma_native_module module = {.path = fixture->path, .inode = fixture->inode};
	int fd = ma_modules_open(&fixture->modules, &module);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, text, sizeof text), 4);
	assert_string_equal(text, "file");
	close(fd);
}

/* Another file by the name of ours is not ours. */
static void test_replaced(void **state)
{
	struct fixture *fixture = *state;
	const struct ma_native_module module = {.path = fixture->path, .inode = fixture->inode + 1};
	assert_int_equal(ma_modules_open(&fixture->modules, &module), -1);
}

static void test_no_regular_file(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;
	assert_int_equal(stat("/dev", &status), 0);
	const struct ma_native_module module = {.path = "/dev", .inode = status.st_ino};
	assert_int_equal(ma_modules_open(&fixture->modules, &module), -1);
}

static void test_vdso(void **state)
{
	struct fixture *fixture = *state;
	uint64_t start = getauxval(AT_SYSINFO_EHDR);
	char head[SELFMAG];
	if (!start)
		skip(); /* a kernel without one */
	const struct ma_native_module module = {
		.path = MA_MODULE_VDSO, .start = start, .end = start + 4096};
	int fd = ma_modules_open(&fixture->modules, &module);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, head, sizeof head, 0), SELFMAG);
	assert_memory_equal(head, ELFMAG, SELFMAG);
	close(fd);
}

/* The file may still lie here by that name. */
static void test_gone(void **state)
{
	struct fixture *fixture = *state;
	const struct ma_native_module module = {.path = fixture->path, .inode = fixture->inode};
	const struct ma_native_module replaced = {.path = fixture->path,
						  .inode = fixture->inode + 1};
	fixture->modules.proc_fd = -1;
	int fd = ma_modules_open(&fixture->modules, &module);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(ma_modules_open(&fixture->modules, &replaced), -1);
	assert_int_equal(ma_modules_root(&fixture->modules), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_more_than_frames_can_name, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_regular_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vdso, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
