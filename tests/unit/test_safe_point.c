/* SPDX-License-Identifier: MIT */
/* The whitelist on made-up stacks: which of them may a call be made on top of? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "inject/safe_point.h"

/* A small address space: program, interpreter, C library, loader, an allocator of its own. */
enum {
	PROGRAM = 0x10000,
	PYTHON = 0x20000,
	LIBC = 0x30000,
	POLL = 0x30100,
	FGETS = 0x30200,
	MALLOC = 0x30300,
	START = 0x30400,
	INNER = 0x30500, /* a function of libc that has no name */
	LOADER = 0x40000,
	ALLOCATOR = 0x50000,
	HOOK = 0x60000,
	NOWHERE = 0x90000,
	OBJECT_BYTES = 0x1000,
	FUNCTION_BYTES = 0x40,
};

static struct ma_link_object objects[5];
static struct ma_view view;

static struct ma_safe_rules make_rules(void)
{
	static const uint64_t starts[] = {PROGRAM, PYTHON, LIBC, LOADER, ALLOCATOR};
	struct ma_safe_rules rules = {
		.view = &view,
		.loader = {LOADER, LOADER + OBJECT_BYTES},
		.libc = {{LIBC, LIBC + OBJECT_BYTES}},
		.libc_count = 1,
		.waiting = {{POLL, POLL + FUNCTION_BYTES}},
		.waiting_count = 1,
		.reading = {{FGETS, FGETS + FUNCTION_BYTES}},
		.reading_count = 1,
		.locking = {{MALLOC, MALLOC + FUNCTION_BYTES}},
		.locking_count = 1,
		.starting = {{START, START + FUNCTION_BYTES}},
		.starting_count = 1,
	};

	memset(objects, 0, sizeof(objects));
	for (size_t i = 0; i < 5; i++) {
		objects[i].usable = true;
		objects[i].module.start = starts[i];
		objects[i].module.end = starts[i] + OBJECT_BYTES;
	}
	view.link_map = (struct ma_link_map){.object = objects, .count = 5, .libc_object = 2};
	ma_safe_rules_own(&rules, HOOK, HOOK + OBJECT_BYTES);
	return rules;
}

struct stack {
	uint64_t pc[8]; /* innermost first; 0 ends it */
	enum ma_waiting waiting;
	bool safe;
};

static const struct stack stacks[] = {
	/* Python code at work, from the start of the program and of a thread. */
	{{PYTHON, PYTHON, INNER, START, PROGRAM}, MA_WAITING_UNKNOWN, true},
	{{PYTHON, INNER, START}, MA_WAITING_UNKNOWN, true},
	{{PROGRAM, PYTHON, PYTHON, INNER}, MA_WAITING_UNKNOWN, true},
	/* Waiting, under a wrapper that is known. */
	{{INNER, POLL, PYTHON, INNER, START, PROGRAM}, MA_WAITING_UNKNOWN, true},
	{{POLL, PYTHON, INNER, START}, MA_WAITING_EVENT, true},
	/* Under one that is not, in a call that only waiting makes. */
	{{INNER, INNER, PYTHON, INNER, START}, MA_WAITING_EVENT, true},
	{{INNER, INNER, PYTHON, INNER, START}, MA_WAITING_UNKNOWN, false},
	/* A reader that may allocate, while it reads and while it does not. */
	{{INNER, FGETS, PYTHON, START}, MA_WAITING_INPUT, true},
	{{INNER, FGETS, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{INNER, INNER, PYTHON, START}, MA_WAITING_INPUT, false},
	/* In malloc, directly and further down, asleep there or not. */
	{{MALLOC, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{INNER, MALLOC, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{INNER, MALLOC, PYTHON, START}, MA_WAITING_EVENT, false},
	{{INNER, MALLOC, INNER, POLL, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{PYTHON, MALLOC, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	/* libc calls back into the program: its locks cannot be known. */
	{{PYTHON, INNER, PYTHON, INNER, START}, MA_WAITING_UNKNOWN, false},
	{{POLL, PYTHON, INNER, PYTHON, PYTHON, START}, MA_WAITING_EVENT, false},
	/* The loader, anywhere. */
	{{LOADER, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{PYTHON, LOADER, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{POLL, PYTHON, LOADER, INNER, PYTHON, START}, MA_WAITING_EVENT, false},
	/* An allocator of its own, our hook, code of no file. */
	{{ALLOCATOR, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{POLL, ALLOCATOR, PYTHON, START}, MA_WAITING_EVENT, false},
	{{HOOK, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{POLL, HOOK, PYTHON, START}, MA_WAITING_EVENT, false},
	{{NOWHERE, PYTHON, START}, MA_WAITING_UNKNOWN, false},
	{{POLL, NOWHERE, PYTHON, START}, MA_WAITING_EVENT, false},
	/* A thread that is just beginning, or ending. */
	{{INNER, START}, MA_WAITING_UNKNOWN, false},
	{{INNER}, MA_WAITING_EVENT, false},
};

static void every_stack_is_judged(void **state)
{
	struct ma_safe_rules rules = make_rules();

	(void)state;
	rules.allocator = (struct ma_range){ALLOCATOR, ALLOCATOR + OBJECT_BYTES};
	for (size_t i = 0; i < sizeof(stacks) / sizeof(stacks[0]); i++) {
		char why[160] = "";
		int count = 0;
		bool safe;

		while (count < 8 && stacks[i].pc[count])
			count++;
		safe = ma_safe_stack(&rules, stacks[i].pc, count, stacks[i].waiting, why,
				     sizeof(why));
		if (safe != stacks[i].safe)
			fail_msg("stack %zu: %s", i, why);
		assert_true(why[0]);
	}
}

static void an_allocator_in_the_program_hides(void **state)
{
	struct ma_safe_rules rules = make_rules();
	const uint64_t running[] = {PYTHON, PYTHON, INNER, START, PROGRAM};
	const uint64_t waiting[] = {POLL, PYTHON, INNER, START, PROGRAM};
	char why[160];

	(void)state;
	rules.allocator_inside = true;
	assert_false(ma_safe_stack(&rules, running, 5, MA_WAITING_UNKNOWN, why, sizeof(why)));
	assert_false(ma_safe_stack(&rules, waiting, 5, MA_WAITING_UNKNOWN, why, sizeof(why)));
	assert_false(ma_safe_stack(&rules, waiting, 5, MA_WAITING_TIME, why, sizeof(why)));
	assert_true(ma_safe_stack(&rules, waiting, 5, MA_WAITING_EVENT, why, sizeof(why)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_stack_is_judged),
		cmocka_unit_test(an_allocator_in_the_program_hides),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
