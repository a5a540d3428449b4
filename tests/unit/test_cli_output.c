/* SPDX-License-Identifier: MIT */
/* Output: whole or not at all, full devices noticed, closed pipes forgiven. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/output_file.h"

/* A directory of its own per test. */
struct place {
	char directory[64];
	char path[96];
};

static int enter(void **state)
{
	struct place *place = calloc(1, sizeof *place);
	strcpy(place->directory, "/tmp/ma-output-XXXXXX");
	if (!mkdtemp(place->directory))
		return -1;
	snprintf(place->path, sizeof place->path, "%s/snapshot.bin", place->directory);
	*state = place;
	return 0;
}

static size_t count_files(const char *directory)
{
	size_t count = 0;
	DIR *open = opendir(directory);
	for (struct dirent *item; (item = readdir(open));)
		count += item->d_name[0] != '.' || strlen(item->d_name) > 2;
	closedir(open);
	return count;
}

static int leave(void **state)
{
	struct place *place = *state;
	unlink(place->path);
	int code = rmdir(place->directory);
	free(place);
	return code;
}

static void write_before(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0640);
	assert_int_equal(write(fd, "before", 6), 6);
	close(fd);
}

static void assert_content(const char *path, const char *expected)
{
	char content[64] = "";
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	ssize_t length = read(fd, content, sizeof content - 1);
	close(fd);
	assert_int_equal(length, strlen(expected));
	assert_string_equal(content, expected);
}

static void test_new_file(void **state)
{
	struct place *place = *state;
	struct ma_output_file file;
	struct stat st;
	mode_t mask = umask(027);
	assert_int_equal(ma_output_file_begin(&file, place->path, NULL), 0);
	/* Not there before it is whole. */
	assert_int_equal(access(place->path, F_OK), -1);
	assert_int_equal(ma_output_file_finish(&file, "hello", 5, NULL), 0);
	umask(mask);
	assert_content(place->path, "hello");
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(count_files(place->directory), 1);
}

static void test_replaced_file_keeps_its_mode(void **state)
{
	struct place *place = *state;
	struct ma_output_file file;
	struct stat st;
	write_before(place->path);
	assert_int_equal(chmod(place->path, 0604), 0);
	assert_int_equal(ma_output_file_begin(&file, place->path, NULL), 0);
	assert_int_equal(ma_output_file_finish(&file, "after", 5, NULL), 0);
	assert_content(place->path, "after");
	assert_int_equal(stat(place->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
}

static void test_through_a_link(void **state)
{
	struct place *place = *state;
	char link_path[128];
	struct ma_output_file file;
	struct stat st;
	snprintf(link_path, sizeof link_path, "%s/link", place->directory);
	write_before(place->path);
	assert_int_equal(symlink("snapshot.bin", link_path), 0);
	assert_int_equal(ma_output_file_begin(&file, link_path, NULL), 0);
	assert_int_equal(ma_output_file_finish(&file, "after", 5, NULL), 0);
	assert_content(place->path, "after");
	assert_int_equal(lstat(link_path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	unlink(link_path);
}

static void test_abandoned(void **state)
{
	struct place *place = *state;
	struct ma_output_file file;
	write_before(place->path);
	assert_int_equal(ma_output_file_begin(&file, place->path, NULL), 0);
	ma_output_file_abandon(&file);
	ma_output_file_abandon(&file);
	assert_content(place->path, "before");
	assert_int_equal(count_files(place->directory), 1);
}

/* A file size limit stands for the full disk: the write ends in the middle with an error. */
static void test_failing_write_leaves_nothing(void **state)
{
	struct place *place = *state;
	struct rlimit usual, small;
	struct ma_output_file file;
	struct ma_error error = {0};
	static char much[20000];
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &usual);
	small = usual;
	small.rlim_cur = 4096;
	for (int before = 0; before < 2; before++) {
		if (before)
			write_before(place->path);
		assert_int_equal(ma_output_file_begin(&file, place->path, NULL), 0);
		setrlimit(RLIMIT_FSIZE, &small);
		int code = ma_output_file_finish(&file, much, sizeof much, &error);
		setrlimit(RLIMIT_FSIZE, &usual);
		assert_int_equal(code, MA_ERR_FAILED);
		assert_int_equal(error.sys_errno, EFBIG);
		assert_non_null(strstr(error.what, place->path));
		assert_int_equal(count_files(place->directory), before);
	}
	assert_content(place->path, "before");
}

static void test_refused(void **state)
{
	struct place *place = *state;
	struct ma_output_file file;
	struct ma_error error = {0};
	char missing[128];
	snprintf(missing, sizeof missing, "%s/none/snapshot.bin", place->directory);
	assert_int_equal(ma_output_file_begin(&file, missing, &error), MA_ERR_FAILED);
	assert_non_null(strstr(error.what, missing));
	assert_int_equal(ma_output_file_begin(&file, place->directory, &error), MA_ERR_USAGE);
	assert_int_equal(count_files(place->directory), 0);
}

/* A device is written to, not replaced. */
static void test_devices(void **state)
{
	(void)state;
	struct ma_output_file file;
	struct ma_error error = {0};
	struct stat st;
	assert_int_equal(ma_output_file_begin(&file, "/dev/null", NULL), 0);
	assert_int_equal(ma_output_file_finish(&file, "x", 1, NULL), 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_int_equal(ma_output_file_begin(&file, "/dev/full", NULL), 0);
	assert_int_equal(ma_output_file_finish(&file, "x", 1, &error), MA_ERR_FAILED);
	assert_int_equal(error.sys_errno, ENOSPC);
	assert_true(error.remedy[0]);
}

/* Prints on a stdout that is `fd`, stderr silenced; the exit code that comes of it. */
static int print_to(int fd)
{
	struct ma_text text = {0};
	ma_text_add(&text, "result\n");
	fflush(stdout);
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
	dup2(fd, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	int code = ma_output_print(&text, 0);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(null);
	ma_text_fini(&text);
	return code;
}

static void test_print(void **state)
{
	(void)state;
	int ends[2], full = open("/dev/full", O_WRONLY), read_only = open("/dev/null", O_RDONLY);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(print_to(ends[1]), 0);
	close(ends[0]);
	assert_int_equal(print_to(ends[1]), 0);
	assert_int_equal(print_to(full), 1);
	/* As ma_output_init leaves a stdout that was closed. */
	assert_int_equal(print_to(read_only), 1);
	close(ends[1]);
	close(full);
	close(read_only);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_new_file, enter, leave),
		cmocka_unit_test_setup_teardown(test_replaced_file_keeps_its_mode, enter, leave),
		cmocka_unit_test_setup_teardown(test_through_a_link, enter, leave),
		cmocka_unit_test_setup_teardown(test_abandoned, enter, leave),
		cmocka_unit_test_setup_teardown(test_failing_write_leaves_nothing, enter, leave),
		cmocka_unit_test_setup_teardown(test_refused, enter, leave),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_print),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
