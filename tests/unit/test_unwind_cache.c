/* SPDX-License-Identifier: MIT */
/* The cache of unwind tables: what comes back, what does not, and how large it gets. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/unwind_cache.h"
#include "daemon/unwind_table.h"

struct fixture {
	char path[64];
	struct ma_unwind_cache cache;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof *fixture);
	if (!fixture)
		return -1;
	snprintf(fixture->path, sizeof fixture->path, "/tmp/ma_cache.XXXXXX");
	assert_non_null(mkdtemp(fixture->path));
	setenv("MEMATTACH_CACHE_DIR", fixture->path, 1);
	ma_unwind_cache_open(&fixture->cache);
	assert_true(fixture->cache.fd >= 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	char command[128];
	ma_unwind_cache_close(&fixture->cache);
	snprintf(command, sizeof command, "rm -rf %s", fixture->path);
	assert_int_equal(system(command), 0);
	free(fixture);
	return 0;
}

/* A table whose hash begins with a number; rows make it large. */
static void *make_table(uint8_t number, uint32_t rows, size_t *bytes)
{
	static const struct ma_unwind_rule rule = {.cfa = MA_CFA_RSP, .cfa_offset = 8};
	uint8_t hash[MA_SHA256_BYTES] = {number};
	struct ma_unwind_row *row = calloc(rows, sizeof *row);
	assert_non_null(row);
	for (uint32_t i = 0; i < rows; i++)
		row[i].pc = i;
	const struct ma_unwind_parts parts = {.pc_first = 0x1000,
					      .pc_end = 0x1000 + (uint64_t)rows,
					      .rows = row,
					      .row_count = rows,
					      .rule = &rule,
					      .rule_count = 1,
					      .hash = hash};
	void *table = ma_unwind_table_make(&parts, bytes);
	assert_non_null(table);
	free(row);
	return table;
}

static void store(struct fixture *fixture, uint8_t number, uint32_t rows)
{
	size_t bytes;
	void *table = make_table(number, rows, &bytes);
	ma_unwind_cache_store(&fixture->cache, table, bytes);
	free(table);
}

static bool is_there(struct fixture *fixture, uint8_t number)
{
	const uint8_t hash[MA_SHA256_BYTES] = {number};
	size_t bytes;
	void *table = ma_unwind_cache_load(&fixture->cache, hash, &bytes);
	struct ma_unwind_table_view view;
	bool found = table != NULL;
	if (found) {
		assert_true(ma_unwind_table_open(&view, table, bytes));
		assert_memory_equal(view.head->hash, hash, sizeof hash);
	}
	free(table);
	return found;
}

static void file_of(const struct fixture *fixture, uint8_t number, char *path, size_t room)
{
	snprintf(path, room, "%s/unwind/%02x%062d", fixture->path, number, 0);
}

static void test_what_was_stored_comes_back(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;
	char path[256];
	assert_false(is_there(fixture, 1));
	store(fixture, 1, 100);
	assert_true(is_there(fixture, 1));
	assert_false(is_there(fixture, 2));
	file_of(fixture, 1, path, sizeof path);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(fstat(fixture->cache.fd, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
}

static void test_damaged_files_are_thrown_away(void **state)
{
	struct fixture *fixture = *state;
	char path[256], other[256];
	store(fixture, 1, 100);
	file_of(fixture, 1, path, sizeof path);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "x", 1, 200), 1);
	close(fd);
	assert_false(is_there(fixture, 1));
	assert_int_not_equal(access(path, F_OK), 0);
	/* a sound table under another's name */
	store(fixture, 2, 100);
	file_of(fixture, 2, other, sizeof other);
	assert_int_equal(rename(other, path), 0);
	assert_false(is_there(fixture, 1));
	/* cut short */
	store(fixture, 3, 100);
	file_of(fixture, 3, path, sizeof path);
	assert_int_equal(truncate(path, 200), 0);
	assert_false(is_there(fixture, 3));
	/* a link to elsewhere is not followed */
	store(fixture, 4, 100);
	file_of(fixture, 4, path, sizeof path);
	file_of(fixture, 5, other, sizeof other);
	assert_int_equal(symlink(path, other), 0);
	assert_true(is_there(fixture, 4));
	assert_false(is_there(fixture, 5));
}

static void test_the_oldest_go(void **state)
{
	struct fixture *fixture = *state;
	enum { ROWS = 10000, TABLES = 20 };
	size_t bytes;
	free(make_table(1, ROWS, &bytes));
	fixture->cache.limit_bytes = 10 * bytes;
	for (uint8_t i = 1; i <= TABLES; i++) {
		char path[256];
		struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
		store(fixture, i, ROWS);
		file_of(fixture, i, path, sizeof path);
		assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
	}
	int left = 0;
	for (uint8_t i = 1; i <= TABLES; i++)
		left += is_there(fixture, i);
	assert_in_range(left, 5, 10);
	assert_true(is_there(fixture, TABLES));
	assert_false(is_there(fixture, 1));
}

static void test_a_directory_of_others_is_not_used(void **state)
{
	struct fixture *fixture = *state;
	struct ma_unwind_cache cache;
	char path[128];
	snprintf(path, sizeof path, "%s/unwind", fixture->path);
	assert_int_equal(chmod(path, 0755), 0);
	ma_unwind_cache_open(&cache);
	assert_int_equal(cache.fd, -1);
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(chmod(fixture->path, 0777), 0);
	ma_unwind_cache_open(&cache);
	assert_int_equal(cache.fd, -1);
	assert_int_equal(chmod(fixture->path, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 12345), 0);
		ma_unwind_cache_open(&cache);
		assert_int_equal(cache.fd, -1);
		assert_int_equal(chown(path, 0, 0), 0);
	}
	setenv("MEMATTACH_CACHE_DIR", "", 1);
	ma_unwind_cache_open(&cache);
	assert_int_equal(cache.fd, -1);
	/* Without a directory nothing is found, and nothing happens. */
	size_t bytes;
	void *table = make_table(1, 10, &bytes);
	ma_unwind_cache_store(&cache, table, bytes);
	const uint8_t hash[MA_SHA256_BYTES] = {1};
	assert_null(ma_unwind_cache_load(&cache, hash, &bytes));
	free(table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_was_stored_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damaged_files_are_thrown_away, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_the_oldest_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_directory_of_others_is_not_used, setup,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
