/* SPDX-License-Identifier: MIT */
/* Which memory is a thread's stack: with and without guard mappings, and on another stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#include "inject/thread_stacks.h"

static struct ma_map map[] = {
	{.start = 0x10000, .end = 0x20000, .name = "/lib/some.so"},
	{.start = 0x100000, .end = 0x500000, .protection = PROT_READ | PROT_WRITE, .name = ""},
	{.start = 0x600000, .end = 0x700000, .protection = PROT_READ | PROT_WRITE, .name = ""},
	{.start = 0x800000,
	 .end = 0x900000,
	 .protection = PROT_READ | PROT_WRITE,
	 .name = "[stack]"},
};
static const struct ma_maps maps = {.map = map, .count = sizeof(map) / sizeof(map[0])};

static const struct {
	const char *what;
	uint64_t sp, thread_pointer;
	bool first;
	int count;
	struct ma_range expected[MA_THREAD_STACKS];
} cases[] = {
	{"its own stack ends at its control block, though the mapping goes on",
	 0x180000,
	 0x200000,
	 false,
	 1,
	 {{0x180000, 0x200000}}},
	{"a handler's stack below the normal one, in the same mapping",
	 0x110000,
	 0x200000,
	 false,
	 1,
	 {{0x110000, 0x200000}}},
	{"a handler's stack above the normal one, in the same mapping",
	 0x300000,
	 0x200000,
	 false,
	 2,
	 {{0x300000, 0x500000}, {0x100000, 0x200000}}},
	{"a handler's stack elsewhere",
	 0x680000,
	 0x200000,
	 false,
	 2,
	 {{0x680000, 0x700000}, {0x100000, 0x200000}}},
	{"the first thread", 0x8f0000, 0x6ff000, true, 1, {{0x8f0000, 0x900000}}},
	{"the first thread in a handler on another stack",
	 0x110000,
	 0x6ff000,
	 true,
	 2,
	 {{0x110000, 0x500000}, {0x800000, 0x900000}}},
	{"the first thread in a handler, below its control block",
	 0x680000,
	 0x6ff000,
	 true,
	 2,
	 {{0x680000, 0x6ff000}, {0x800000, 0x900000}}},
	{"no control block known", 0x680000, 0, false, 1, {{0x680000, 0x700000}}},
	{"a stack pointer to nowhere", 0x1000, 0x200000, false, 0, {{0}}},
};

static void stacks_are_found(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ma_range found[MA_THREAD_STACKS];
		int count = ma_thread_stacks_find(&maps, cases[i].sp, cases[i].thread_pointer,
						  cases[i].first, found);

		if (count != cases[i].count ||
		    memcmp(found, cases[i].expected, (size_t)count * sizeof(found[0])))
			fail_msg("%s", cases[i].what);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stacks_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
