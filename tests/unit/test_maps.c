/* SPDX-License-Identifier: MIT */
/* /proc/PID/maps: names as strange as a target can make them, lines that are none, our own file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "inject/maps.h"

static const char sample[] =
	"00400000-00401000 r--p 00000000 fe:01 1234                               /usr/bin/a b\n"
	"00401000-00402000 r-xp 00001000 fe:01 1234                               /usr/bin/a b\n"
	"00402000-00403000 rw-p 00000000 00:00 0 \n"
	"00403000-00404000 rw-p 00003000 fe:01 1234                               /usr/bin/a b\n"
	"00405000-00406000 rw-p 00000000 00:00 0                                  [heap]\n"
	"7f0000000000-7f0000001000 r-xs 00000000 00:01 77 /memfd:memattach-thunks (deleted)\n"
	"7f0000001000-7f0000002000 rw-p 00001000 00:01 77 /memfd:memattach-thunks (deleted)\n"
	"7f0000002000-7f0000003000 r--p 00000000 fe:01 9 /tmp/new\\012line (deleted) (deleted)\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]";

static void parses_a_whole_file(void **state)
{
	(void)state;
	struct ma_maps maps;
	assert_int_equal(ma_maps_parse(sample, sizeof sample - 1, &maps, NULL), 0);
	assert_int_equal(maps.count, 9);
	assert_string_equal(maps.map[0].name, "/usr/bin/a b");
	assert_int_equal(maps.map[0].inode, 1234);
	assert_int_equal(maps.map[0].device_major, 0xfe);
	assert_int_equal(maps.map[1].protection, PROT_READ | PROT_EXEC);
	assert_int_equal(maps.map[1].offset_bytes, 0x1000);
	assert_string_equal(maps.map[2].name, "");
	assert_true(maps.map[5].shared);
	assert_true(maps.map[5].deleted);
	assert_string_equal(maps.map[7].name, "/tmp/new\nline (deleted)");
	assert_true(maps.map[7].deleted);
	assert_string_equal(maps.map[8].name, "[vsyscall]");
	ma_maps_fini(&maps);
}

static void finds_by_address_and_name(void **state)
{
	(void)state;
	struct ma_maps maps;
	uint64_t start, end;
	size_t first;
	assert_int_equal(ma_maps_parse(sample, sizeof sample - 1, &maps, NULL), 0);
	assert_ptr_equal(ma_maps_find(&maps, 0x400fff), &maps.map[0]);
	assert_ptr_equal(ma_maps_find(&maps, 0x401000), &maps.map[1]);
	assert_null(ma_maps_find(&maps, 0x404000));
	assert_null(ma_maps_find(&maps, 0));
	assert_null(ma_maps_find(&maps, UINT64_MAX));
	assert_ptr_equal(ma_maps_find_name(&maps, "[heap]", 0), &maps.map[4]);
	assert_null(ma_maps_find_name(&maps, "[heap]", 5));
	assert_ptr_equal(ma_maps_find_memfd(&maps, "memattach-thunks", PROT_EXEC, 0), &maps.map[5]);
	assert_ptr_equal(ma_maps_find_memfd(&maps, "memattach-thunks", PROT_WRITE, 0),
			 &maps.map[6]);
	assert_null(ma_maps_find_memfd(&maps, "memattach", 0, 0));
	assert_int_equal(ma_maps_module(&maps, 0x403abc, &start, &end, &first), 0);
	assert_int_equal(start, 0x400000);
	assert_int_equal(end, 0x404000);
	assert_int_equal(first, 0);
	assert_int_equal(ma_maps_module(&maps, 0x405000, &start, &end, &first), MA_ERR_FAILED);
	assert_true(ma_maps_covers(&maps, 0x400000, 0x4000, PROT_READ));
	assert_false(ma_maps_covers(&maps, 0x400000, 0x4000, PROT_WRITE));
	assert_false(ma_maps_covers(&maps, 0x400000, 0x5001, PROT_READ));
	assert_false(ma_maps_covers(&maps, UINT64_MAX - 1, 4, 0));
	ma_maps_fini(&maps);
}

static void refuses_what_is_no_maps_file(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"\n",
		"nonsense\n",
		"00400000 r--p 00000000 fe:01 1234 /x\n",
		"00401000-00400000 r--p 00000000 fe:01 1234 /x\n",
		"00400000-00400000 r--p 00000000 fe:01 1234 /x\n",
		"00400000-00401000 r--q 00000000 fe:01 1234 /x\n",
		"00400000-00401000 zz-p 00000000 fe:01 1234 /x\n",
		"00400000-00401000 r--p 00000000 fe:01 \n",
		"00400000-00401000 r--",
		"11111111111111111-22222222222222222 r--p 00000000 fe:01 1 /x\n",
		"00400000-00401000 r--p 00000000 1ffffffff:01 1 /x\n",
		"00400000-00401000 r--p 00000000 fe:01 99999999999999999999 /x\n",
		"00500000-00501000 r--p 00000000 fe:01 1 /x\n00400000-00401000 r--p 0 fe:01 1 /x\n",
	};
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		struct ma_maps maps;
		struct ma_error error = {0};
		assert_int_equal(ma_maps_parse(wrong[i], strlen(wrong[i]), &maps, &error),
				 MA_ERR_PROTOCOL);
		assert_int_equal(error.code, MA_ERR_PROTOCOL);
		assert_non_null(strstr(error.what, "line"));
		ma_maps_fini(&maps);
	}
}

/* The kernel shows a mapping twice that grew between two reads of the file. */
static void keeps_the_new_part_of_a_repeated_mapping(void **state)
{
	(void)state;
	static const char text[] = "00400000-00402000 rw-p 00001000 fe:01 1 /x\n"
				   "00400000-00403000 rw-p 00001000 fe:01 1 /x\n"
				   "00401000-00403000 rw-p 00002000 fe:01 1 /x\n";
	struct ma_maps maps;
	assert_int_equal(ma_maps_parse(text, sizeof text - 1, &maps, NULL), MA_ERR_PROTOCOL);
	ma_maps_fini(&maps);
	const char *third = strchr(strchr(text, '\n') + 1, '\n') + 1;
	assert_int_equal(ma_maps_parse(text, (size_t)(third - text), &maps, NULL), 0);
	assert_int_equal(maps.count, 2);
	assert_int_equal(maps.map[1].start, 0x402000);
	assert_int_equal(maps.map[1].end, 0x403000);
	assert_int_equal(maps.map[1].offset_bytes, 0x3000);
	ma_maps_fini(&maps);
}

static void reads_a_large_file(void **state)
{
	(void)state;
	enum { LINES = 200000 };
	char *text = malloc(LINES * 64);
	size_t used = 0;
	for (int i = 0; i < LINES; i++)
		used += (size_t)snprintf(text + used, 64, "%x000-%x000 rw-p 00000000 00:00 0 \n",
					 2 * i + 1, 2 * i + 2);
	struct ma_maps maps;
	assert_int_equal(ma_maps_parse(text, used, &maps, NULL), 0);
	assert_int_equal(maps.count, LINES);
	assert_ptr_equal(ma_maps_find(&maps, 0x1800), &maps.map[0]);
	assert_ptr_equal(ma_maps_find(&maps, (uint64_t)(2 * (LINES - 1) + 1) << 12),
			 &maps.map[LINES - 1]);
	ma_maps_fini(&maps);
	free(text);
}

static void reads_our_own(void **state)
{
	(void)state;
	struct ma_maps maps;
	int fd = memfd_create("a memfd\nof ours", MFD_CLOEXEC);
	assert_true(fd >= 0 && ftruncate(fd, 4096) == 0);
	void *page = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_int_equal(ma_maps_read(getpid(), &maps, NULL), 0);
	const struct ma_map *code = ma_maps_find(&maps, (uint64_t)(uintptr_t)ma_maps_read);
	assert_non_null(code);
	assert_true(code->protection & PROT_EXEC);
	const struct ma_map *ours = ma_maps_find_memfd(&maps, "a memfd\nof ours", PROT_READ, 0);
	assert_non_null(ours);
	assert_int_equal(ours->start, (uintptr_t)page);
	for (size_t i = 1; i < maps.count; i++)
		assert_true(maps.map[i].start >= maps.map[i - 1].end);
	ma_maps_fini(&maps);
	munmap(page, 4096);
	close(fd);
	struct ma_error error;
	assert_int_equal(ma_maps_read(0x7ffffff0, &maps, &error), MA_ERR_NO_PROCESS);
	ma_maps_fini(&maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_a_whole_file),
		cmocka_unit_test(finds_by_address_and_name),
		cmocka_unit_test(refuses_what_is_no_maps_file),
		cmocka_unit_test(keeps_the_new_part_of_a_repeated_mapping),
		cmocka_unit_test(reads_a_large_file),
		cmocka_unit_test(reads_our_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
