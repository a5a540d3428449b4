/* SPDX-License-Identifier: MIT */
/*
 * The frame walk against made-up interpreters of every version: what it takes, what it leaves out,
 * and that it ends with a flag, not a crash, where frames are not what they should be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hook_fake_python.h"
#include "inject/hook/site.h"
#include "proto/unwind.h"

static const uint32_t versions[] = {0x0308, 0x0309, 0x030a, 0x030b, 0x030c, 0x030d, 0x030e, 0x030f};
enum { VERSIONS = sizeof(versions) / sizeof(versions[0]) };

static uint64_t frames[MA_MAX_FRAMES];
static struct fake_python python;

static void for_each_version(void (*test)(const struct ma_py_layout *layout))
{
	for (int i = 0; i < VERSIONS; i++) {
		fake_init(&python, versions[i]);
		test(&python.config.layout);
		fake_fini(&python);
	}
}

static uint32_t code_of(uint64_t address)
{
	uint32_t id = ma_codes_find(&python.area->tables, address);

	assert_true(id != MA_CODE_UNSEEN && id != 0);
	return id;
}

static void expect(uint32_t count, uint32_t flags)
{
	struct ma_walk walk = fake_walk(&python, frames);

	assert_int_equal(walk.count, count);
	assert_int_equal(walk.flags, flags);
	assert_false(walk.busy);
}

static uint64_t plain(uint32_t i)
{
	return frames[i] & ~MA_FRAME_ENTRY;
}

static bool is_entry(uint32_t i)
{
	return frames[i] & MA_FRAME_ENTRY;
}

static void walk_chain(const struct ma_py_layout *layout)
{
	uint64_t outer = fake_code(&python, "outer", 1), inner = fake_code(&python, "inner", 10);
	uint64_t frame = fake_frame(&python, 0, outer, 40);

	(void)layout;
	frame = fake_frame(&python, frame, inner, 8);
	fake_enter(fake_state(&python, frame));
	expect(2, 0);
	assert_true(code_of(outer) != code_of(inner));
	assert_true(plain(0) == MA_FRAME(code_of(inner), 8));
	assert_true(plain(1) == MA_FRAME(code_of(outer), 40));
}

/* Three frames, of which the two inner ones are in a call of the interpreter loop of their own. */
static void walk_entries(const struct ma_py_layout *layout)
{
	uint64_t code = fake_code(&python, "code", 1), frame = fake_frame(&python, 0, code, 40);
	bool objects = layout->frame_owner == MA_PY_ABSENT;

	if (layout->owner_skip && layout->frame_is_entry == MA_PY_ABSENT) {
		frame = fake_frame(&python, frame, code, 40);
		*(uint8_t *)(uintptr_t)(frame + layout->frame_owner) = layout->owner_skip;
	}
	frame = fake_frame(&python, frame, code, 40);
	if (layout->frame_is_entry != MA_PY_ABSENT)
		*(uint8_t *)(uintptr_t)(frame + layout->frame_is_entry) = 1;
	frame = fake_frame(&python, frame, code, 8);
	fake_enter(fake_state(&python, frame));
	expect(3, 0);
	assert_true(is_entry(0) == objects);
	assert_true(is_entry(1) && is_entry(2));
	assert_true(plain(1) == MA_FRAME(code_of(code), 40));
}

static void walk_nothing(const struct ma_py_layout *layout)
{
	fake_enter(0);
	expect(0, MA_STACK_NO_PYTHON);
	fake_enter(fake_state(&python, 0));
	expect(0, MA_STACK_NO_PYTHON);
	fake_enter(fake_state(&python, fake_frame(&python, 0, fake_code(&python, "gone", 1), 8)));
	fake_put(python.config.py_runtime, layout->runtime_finalizing, 1);
	expect(0, MA_STACK_FINALIZING);
}

static void walk_left_out(const struct ma_py_layout *layout)
{
	uint64_t code = fake_code(&python, "code", 1), frame, setting_up, generator, own;

	if (layout->frame_owner == MA_PY_ABSENT)
		return;
	frame = fake_frame(&python, 0, code, 20);
	setting_up = fake_frame(&python, frame, code, 2); /* two code units come first */
	generator = fake_frame(&python, setting_up, code, 2);
	*(uint8_t *)(uintptr_t)(generator + layout->frame_owner) = layout->owner_generator;
	own = fake_frame(&python, generator, code, 20);
	fake_enter(fake_state(&python, own));
	expect(3, 0);
	if (!layout->owner_skip)
		return;
	*(uint8_t *)(uintptr_t)(own + layout->frame_owner) = layout->owner_skip;
	fake_put(own, layout->frame_code, 0x1357); /* such a frame may hold anything there */
	expect(2, 0);
	assert_true(plain(0) == MA_FRAME(code_of(code), 2));
	assert_true(plain(1) == MA_FRAME(code_of(code), 20));
}

static void walk_not_begun(const struct ma_py_layout *layout)
{
	uint64_t code = fake_code(&python, "code", 1);

	fake_enter(fake_state(&python, fake_frame(&python, 0, code, -2)));
	if (layout->frame_owner == MA_PY_ABSENT) {
		expect(1, 0);
		assert_true(plain(0) == MA_FRAME(code_of(code), 0));
	} else {
		expect(0, MA_STACK_NO_PYTHON);
	}
}

static void walk_broken(const struct ma_py_layout *layout)
{
	static const uint64_t wrong[] = {1, 0x123, 0x7fffffffffff8, UINT64_C(1) << 63 | 8,
					 UINT64_MAX - 7};
	uint64_t code = fake_code(&python, "code", 1);
	uint64_t outer = fake_frame(&python, 0, code, 20);
	uint64_t inner = fake_frame(&python, outer, code, 20);

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		fake_enter(wrong[i]);
		expect(0, MA_STACK_BROKEN);
		fake_enter(fake_state(&python, wrong[i]));
		expect(0, MA_STACK_BROKEN);
		fake_enter(fake_state(&python, inner));
		fake_put(inner, layout->frame_previous, wrong[i]);
		expect(1, MA_STACK_BROKEN);
		fake_put(inner, layout->frame_previous, outer);
		fake_put(outer, layout->frame_code, wrong[i]);
		expect(1, MA_STACK_BROKEN);
		fake_put(outer, layout->frame_code, code);
	}
	if (layout->code_instructions != MA_PY_ABSENT) {
		fake_put(outer, layout->frame_position, code + (UINT64_C(1) << 40));
		expect(1, MA_STACK_BROKEN);
	}
}

static void walk_unknown(const struct ma_py_layout *layout)
{
	uint64_t code = fake_code(&python, "code", 1);
	uint64_t stray = fake_object(&python, FAKE_CODE_BYTES, 0x5000);
	uint64_t frame = fake_frame(&python, 0, code, 20);

	/* An object whose type is no type. */
	fake_put(stray, layout->object_type, 3);
	frame = fake_frame(&python, frame, stray, 20);
	fake_enter(fake_state(&python, frame));
	expect(2, 0);
	assert_int_equal(MA_FRAME_CODE(frames[0]), 0);
	assert_int_equal(MA_FRAME_CODE(frames[1]), code_of(code));
	assert_int_equal(python.area->counters.frames_unknown, 1);
	assert_int_equal(ma_codes_find(&python.area->tables, stray), 0);
	expect(2, 0);
	assert_int_equal(python.area->counters.frames_unknown, 2);
	assert_int_equal(python.area->counters.stacks_broken, 0);
}

static void walk_deep(const struct ma_py_layout *layout)
{
	uint64_t code = fake_code(&python, "deep", 1), frame = 0, skipped;

	/* As deep as can be, and where there are such: outside of it a frame that is left out. */
	if (layout->owner_skip) {
		frame = fake_frame(&python, 0, code, 20);
		*(uint8_t *)(uintptr_t)(frame + layout->frame_owner) = layout->owner_skip;
	}
	for (int i = 0; i < MA_MAX_PYTHON_FRAMES; i++)
		frame = fake_frame(&python, frame, code, 20);
	fake_enter(fake_state(&python, frame));
	expect(MA_MAX_PYTHON_FRAMES, 0);
	frame = fake_frame(&python, frame, code, 20);
	fake_enter(fake_state(&python, frame));
	expect(MA_MAX_PYTHON_FRAMES, MA_STACK_TRUNCATED);
	/* A ring of frames is a deep stack, and one of frames that are left out ends as well. */
	skipped = fake_frame(&python, 0, code, 20);
	fake_put(skipped, layout->frame_previous, skipped);
	fake_enter(fake_state(&python, skipped));
	expect(MA_MAX_PYTHON_FRAMES, MA_STACK_TRUNCATED);
	if (layout->owner_skip) {
		*(uint8_t *)(uintptr_t)(skipped + layout->frame_owner) = layout->owner_skip;
		expect(0, MA_STACK_TRUNCATED);
	}
}

static void walk_interpreters(const struct ma_py_layout *layout)
{
	uint64_t runtime = python.config.py_runtime;
	uint64_t code = fake_code(&python, "main", 1), other = fake_code(&python, "other", 1);
	uint64_t state = fake_state(&python, fake_frame(&python, 0, code, 20));
	uint64_t running = fake_state(&python, fake_frame(&python, 0, other, 20));
	uint64_t foreign = fake_state(&python, fake_frame(&python, 0, other, 20));

	fake_put(foreign, layout->tstate_thread_id, 0x1234);
	fake_enter(state);
	expect(1, 0);
	if (layout->runtime_gil_holder == MA_PY_ABSENT) {
		/* From 3.12 on the function knows. */
		fake_put(runtime, layout->runtime_head_interpreter, 0x4000);
		expect(1, 0);
		return;
	}
	/* While there is one interpreter, the holder does not matter. */
	fake_put(runtime, layout->runtime_gil_holder, foreign);
	expect(1, 0);
	fake_put(runtime, layout->runtime_head_interpreter,
		 fake_object(&python, 64, python.root_type));
	expect(0, MA_STACK_FOREIGN);
	fake_put(runtime, layout->runtime_gil_holder, 0);
	expect(0, MA_STACK_FOREIGN);
	fake_put(runtime, layout->runtime_gil_holder, state);
	expect(1, 0);
	assert_int_equal(MA_FRAME_CODE(frames[0]), code_of(code));
	fake_put(runtime, layout->runtime_gil_holder, running);
	expect(1, 0);
	assert_int_equal(MA_FRAME_CODE(frames[0]), code_of(other));
}

static void site_flags(const struct ma_py_layout *layout)
{
	const struct ma_tables *tables = &python.area->tables;
	uint64_t code = fake_code(&python, "code", 1), frame = 0;
	uint32_t site;

	fake_enter(0);
	site = ma_hook_site(frames, MA_DOMAIN_MALLOC, 7);
	assert_int_equal(tables->sites[site].stack, 0);
	assert_int_equal(tables->sites[site].flags, MA_STACK_NO_PYTHON);
	assert_int_equal(tables->sites[site].domain, MA_DOMAIN_MALLOC);
	assert_int_equal(tables->sites[site].thread, 7);
	assert_int_equal(ma_hook_site(frames, MA_DOMAIN_MALLOC, 7), site);
	assert_int_equal(python.area->counters.stacks_broken, 0);

	fake_enter(8);
	site = ma_hook_site(frames, MA_DOMAIN_MALLOC, 7);
	assert_int_equal(tables->sites[site].flags, MA_STACK_BROKEN);
	assert_int_equal(python.area->counters.stacks_broken, 1);

	for (int i = 0; i <= MA_MAX_PYTHON_FRAMES; i++)
		frame = fake_frame(&python, frame, code, 20);
	fake_enter(fake_state(&python, frame));
	site = ma_hook_site(frames, MA_DOMAIN_OBJECT, 7);
	assert_true(tables->sites[site].stack != 0);
	assert_int_equal(tables->sites[site].flags, 0);
	assert_int_equal(python.area->counters.stacks_truncated, 1);
	fake_put(python.config.py_runtime, layout->runtime_finalizing, 1);
	site = ma_hook_site(frames, MA_DOMAIN_OBJECT, 7);
	assert_int_equal(tables->sites[site].flags, MA_STACK_FINALIZING);
}

#define WALK_TEST(name)                                                                            \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		for_each_version(name);                                                            \
	}

WALK_TEST(walk_chain)
WALK_TEST(walk_entries)
WALK_TEST(walk_nothing)
WALK_TEST(walk_left_out)
WALK_TEST(walk_not_begun)
WALK_TEST(walk_broken)
WALK_TEST(walk_unknown)
WALK_TEST(walk_deep)
WALK_TEST(walk_interpreters)
WALK_TEST(site_flags)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_walk_chain),        cmocka_unit_test(test_walk_entries),
		cmocka_unit_test(test_walk_nothing),      cmocka_unit_test(test_walk_left_out),
		cmocka_unit_test(test_walk_not_begun),    cmocka_unit_test(test_walk_broken),
		cmocka_unit_test(test_walk_unknown),      cmocka_unit_test(test_walk_deep),
		cmocka_unit_test(test_walk_interpreters), cmocka_unit_test(test_site_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
