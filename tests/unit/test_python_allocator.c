/* SPDX-License-Identifier: MIT */
/* From command line and environment to the size up to which pymalloc serves requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "inject/python_allocator.h"

#define BYTES(text) (text), sizeof(text) - 1

static const struct {
	const char *environment;
	size_t environment_bytes;
	const char *arguments;
	size_t arguments_bytes;
	const char *python;
	uint32_t limit;
} cases[] = {
	{BYTES(""), BYTES("python3\0x.py\0"), "/usr/bin/python3.11", 512},
	{BYTES("HOME=/\0PYTHONMALLOC=malloc\0"), BYTES("python3\0x.py\0"), "python3.11", 0},
	{BYTES("PYTHONMALLOC=malloc_debug\0"), BYTES("python3\0"), "python3.11", 0},
	{BYTES("PYTHONMALLOC=mimalloc\0"), BYTES("python3\0"), "python3.13", 0},
	{BYTES("PYTHONMALLOC=pymalloc\0"), BYTES("python3\0"), "python3.11", 512},
	{BYTES("PYTHONMALLOC=debug\0"), BYTES("python3\0"), "python3.11", 488},
	{BYTES("PYTHONMALLOC=\0"), BYTES("python3\0"), "python3.11", 512},
	{BYTES("XPYTHONMALLOC=malloc\0"), BYTES("python3\0"), "python3.11", 512},
	{BYTES("PYTHONMALLOC=malloc\0"), BYTES("python3\0-E\0x.py\0"), "python3.11", 512},
	{BYTES("PYTHONMALLOC=malloc\0"), BYTES("python3\0-I\0x.py\0"), "python3.11", 512},
	{BYTES("PYTHONMALLOC=malloc\0"), BYTES("python3\0x.py\0-E\0"), "python3.11", 0},
	{BYTES("PYTHONMALLOC=malloc\0"), BYTES("python3\0-m\0mod\0-E\0"), "python3.11", 0},
	{BYTES("PYTHONDEVMODE=1\0"), BYTES("python3\0"), "python3.11", 488},
	{BYTES(""), BYTES("python3\0-X\0dev\0x.py\0"), "python3.11", 488},
	{BYTES(""), BYTES("python3\0-Xdev\0x.py\0"), "python3.11", 488},
	{BYTES(""), BYTES("python3\0-X\0importtime\0-X\0dev\0"), "python3.11", 488},
	{BYTES(""), BYTES("python3\0x.py\0-X\0dev\0"), "python3.11", 512},
	{BYTES("PYTHONMALLOC=malloc\0"), BYTES("python3\0-X\0dev\0"), "python3.11", 0},
	{BYTES(""), BYTES("python3\0"), "/usr/lib/libpython3.11d.so.1.0", 488},
	{BYTES(""), BYTES("python3\0"), "/usr/bin/python3.12-dbg", 488},
	{BYTES(""), BYTES("python3\0"), "/usr/lib/libpython3.11.so.1.0", 512},
	/* Cut off in the middle, as a process may show anything. */
	{"PYTHONMALLOC=mal", 16, "python3", 7, "python3.11", 512},
	{"PYTHONMALLOC", 12, "-", 1, "python3.11", 512},
	{"", 0, "", 0, "", 512},
};

static void every_case_is_told(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(
			ma_python_small_limit_from(cases[i].environment, cases[i].environment_bytes,
						   cases[i].arguments, cases[i].arguments_bytes,
						   cases[i].python),
			cases[i].limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_case_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
