/* SPDX-License-Identifier: MIT */
/* Code and stacks in /proc/PID/maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/unwind_maps.h"

static const char text_of_a_process[] =
	"00400000-00401000 r--p 00000000 fe:01 100                   /usr/bin/python3.11\n"
	"00401000-00800000 r-xp 00001000 fe:01 100                   /usr/bin/python3.11\n"
	"00800000-00900000 rw-p 00400000 fe:01 100                   /usr/bin/python3.11\n"
	"00a00000-00b00000 rw-p 00000000 00:00 0                     [heap]\n"
	"7f0000000000-7f0000001000 ---p 00000000 00:00 0 \n"
	"7f0000001000-7f0000801000 rw-p 00000000 00:00 0 \n"
	"7f0000900000-7f0000a00000 rw-p 00000000 00:00 0 \n"
	"7f0000b00000-7f0000b01000 ---p 00000000 00:00 0 \n"
	"7f0000b01000-7f0000c00000 rw-p 00000000 00:00 0     [anon: glibc: pthread stack: 7]\n"
	"7f0001000000-7f0001001000 r-xp 00000000 00:01 7        /memfd:memattach-hook (deleted)\n"
	"7f0001100000-7f0001101000 r-xp 00000000 00:00 0 \n"
	"7f0002000000-7f0002001000 r-xp 00002000 fe:01 200         /a\\012b (deleted)\n"
	"7f0002001000-7f0002002000 r-xp 00003000 fe:01 200         /a\\012b (deleted)\n"
	"7f0002002000-7f0002003000 r-xp 00005000 fe:01 200         /a\\012b (deleted)\n"
	"7f0003000000-7f0003001000 rw-s 00000000 00:01 9             /dev/shm/x\n"
	"7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0             [stack]\n"
	"7ffd00100000-7ffd00102000 r-xp 00000000 00:00 0             [vdso]\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0     [vsyscall]\n";

static void parse(struct ma_unwind_maps *maps, char *text, uint64_t stack)
{
	const struct ma_unwind_maps_hints hints = {.interpreter_base = 0x400000, .stack = stack};
	assert_true(ma_unwind_maps_parse(maps, text, &hints));
}

static void assert_mapped(const struct ma_unwind_mapped *mapped, uint64_t start, uint64_t end,
			  uint64_t offset, const char *path)
{
	assert_int_equal(mapped->start, start);
	assert_int_equal(mapped->end, end);
	assert_int_equal(mapped->offset, offset);
	assert_string_equal(mapped->path, path);
}

static void test_code(void **state)
{
	(void)state;
	struct ma_unwind_maps maps = {0};
	char *text = strdup(text_of_a_process);
	parse(&maps, text, 0);
	assert_int_equal(maps.mapped_count, 5);
	assert_mapped(&maps.mapped[0], 0x401000, 0x800000, 0x1000, "/usr/bin/python3.11");
	assert_mapped(&maps.mapped[1], 0x7f0001000000, 0x7f0001001000, 0, "/memfd:memattach-hook");
	assert_mapped(&maps.mapped[2], 0x7f0002000000, 0x7f0002002000, 0x2000, "/a\nb");
	assert_mapped(&maps.mapped[3], 0x7f0002002000, 0x7f0002003000, 0x5000, "/a\nb");
	assert_mapped(&maps.mapped[4], 0x7ffd00100000, 0x7ffd00102000, 0, "[vdso]");
	assert_int_equal(maps.mapped[2].inode, 200);
	assert_int_equal(maps.mapped[0].head, 0x400000);
	assert_int_equal(maps.mapped[1].head, 0x7f0001000000);
	assert_int_equal(maps.mapped[2].head, 0);
	assert_int_equal(maps.mapped[4].head, 0);
	assert_int_equal(maps.interpreter_inode, 100);
	ma_unwind_maps_fini(&maps);
	free(text);
}

static void assert_stack(const struct ma_unwind_stack *stack, uint64_t start, uint64_t end)
{
	assert_int_equal(stack->start, start);
	assert_int_equal(stack->end, end);
}

static void test_stacks(void **state)
{
	(void)state;
	struct ma_unwind_maps maps = {0};
	char *text = strdup(text_of_a_process);
	parse(&maps, text, 0);
	assert_int_equal(maps.stack_count, 3);
	assert_stack(&maps.stacks[0], 0x7f0000001000, 0x7f0000801000);
	assert_stack(&maps.stacks[1], 0x7f0000b01000, 0x7f0000c00000);
	/* it grows: as far down as it may */
	assert_stack(&maps.stacks[2], 0x7ffcfc021000, 0x7ffd00021000);
	/* one without a guard page is known by its use; the same struct serves again */
	memcpy(text, text_of_a_process, sizeof text_of_a_process);
	parse(&maps, text, 0x7f0000912340);
	assert_int_equal(maps.stack_count, 4);
	assert_stack(&maps.stacks[1], 0x7f0000900000, 0x7f0000a00000);
	/* from then on it is one, while it is there */
	memcpy(text, text_of_a_process, sizeof text_of_a_process);
	parse(&maps, text, 0);
	assert_int_equal(maps.stack_count, 4);
	assert_stack(&maps.stacks[1], 0x7f0000900000, 0x7f0000a00000);
	memcpy(text, text_of_a_process, sizeof text_of_a_process);
	memcpy(strstr(text, "7f0000900000-") + strlen("7f0000900000-7f0000a00000 "), "---p", 4);
	parse(&maps, text, 0);
	assert_int_equal(maps.stack_count, 3);
	ma_unwind_maps_fini(&maps);
	free(text);
}

static void test_nonsense(void **state)
{
	(void)state;
	static const char *const texts[] = {"",
					    "\n\n",
					    "x",
					    "1-2",
					    "1-2 r",
					    "1-2 r-xp",
					    "1-2 r-xp 0 0:0 1",
					    "2-1 r-xp 0 0:0 1 /a",
					    "1-2 r-xp 0 0 1 /a",
					    "1-2 r-xp  /a",
					    "-1--2 r-xp 0 0:0 1 /a"};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct ma_unwind_maps maps = {0};
		char *text = strdup(texts[i]);
		parse(&maps, text, 1);
		assert_int_equal(maps.mapped_count, 0);
		assert_int_equal(maps.stack_count, 0);
		ma_unwind_maps_fini(&maps);
		free(text);
	}
}

static void test_descending_lines_are_left_out(void **state)
{
	(void)state;
	struct ma_unwind_maps maps = {0};
	char text[] =
		"2000-3000 r-xp 0 0:0 1 /a\n1000-2000 r-xp 0 0:0 2 /b\n2fff-4000 r-xp 0 0:0 3 "
		"/c\n3000-4000 r-xp 0 0:0 4 /d\n";
	parse(&maps, text, 0);
	assert_int_equal(maps.mapped_count, 2);
	assert_string_equal(maps.mapped[1].path, "/d");
	ma_unwind_maps_fini(&maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_stacks),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_descending_lines_are_left_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
