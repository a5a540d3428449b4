/* SPDX-License-Identifier: MIT */
/*
 * Reading Python's threads and frames out of memory that may hold anything: a well-formed picture
 * of every version is read as it is, lists that bite their own tails come to an end, and noise
 * harms nobody.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "fake_memory.h"
#include "inject/python_stacks.h"

enum {
	BYTES = 1 << 16,
	BASE = 0x100000,
	/* where things lie in the block */
	RUNTIME = 0x0,
	INTERPRETER = 0x4000,
	STATE = 0x8000, /* two of them */
	STATE_APART = 0x800,
	CFRAME = 0x9800,
	GIL = 0x9c00,
	FRAME = 0xa000, /* three of them */
	FRAME_APART = 0x200,
	CODE = 0xb000,
	NAME = 0xc000,
	LINES = 0xd000,
	NOISE_ROUNDS = 300,
};

struct world {
	uint8_t *bytes;
	struct fake_memory fake;
	struct ma_target_memory memory;
	struct ma_interpreter interpreter;
	struct ma_py_stacks *stacks;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	world->bytes = calloc(1, BYTES);
	world->fake = (struct fake_memory){.bytes = world->bytes, .size = BYTES, .base = BASE};
	world->memory = fake_memory_open(&world->fake);
	world->stacks = mmap(NULL, sizeof(*world->stacks), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(world->stacks != MAP_FAILED);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	munmap(world->stacks, sizeof(*world->stacks));
	free(world->bytes);
	free(world);
	return 0;
}

static void put_word(struct world *world, uint64_t at, uint64_t value)
{
	memcpy(world->bytes + at, &value, sizeof(value));
}

static void put_text(struct world *world, const char *text)
{
	const struct ma_py_layout *layout = &world->interpreter.layout;
	uint32_t flags = 1u << layout->unicode_kind_shift | 1u << layout->unicode_compact_shift |
			 1u << layout->unicode_ascii_shift;

	put_word(world, NAME + layout->unicode_length, strlen(text));
	memcpy(world->bytes + NAME + layout->unicode_state, &flags, sizeof(flags));
	memcpy(world->bytes + NAME + layout->unicode_ascii, text, strlen(text));
}

/* Two threads; the first has two frames of one call and one of another. */
static void build(struct world *world, uint32_t version)
{
	const struct ma_py_layout *layout = &world->interpreter.layout;
	uint32_t one = 1;

	memset(world->bytes, 0, BYTES);
	world->interpreter = (struct ma_interpreter){.version = version << 16,
						     .runtime = {BASE + RUNTIME},
						     .layout = *ma_py_layout_find(version)};
	put_word(world, RUNTIME + layout->runtime_head_interpreter, BASE + INTERPRETER);
	put_word(world, INTERPRETER + layout->interp_threads, BASE + STATE);
	put_word(world, STATE + layout->tstate_next, BASE + STATE + STATE_APART);
	put_word(world, STATE + layout->tstate_thread_id, 0x7000);
	put_word(world, STATE + STATE_APART + layout->tstate_thread_id, 0x8000);
	if (layout->runtime_gil_holder != MA_PY_ABSENT) {
		put_word(world, RUNTIME + layout->runtime_gil_holder, BASE + STATE + STATE_APART);
	} else {
		put_word(world, INTERPRETER + layout->interp_gil, BASE + GIL);
		put_word(world, GIL + layout->gil_holder, BASE + STATE + STATE_APART);
		memcpy(world->bytes + GIL + layout->gil_locked, &one, sizeof(one));
	}
	if (layout->tstate_cframe == MA_PY_ABSENT) {
		put_word(world, STATE + layout->tstate_frame, BASE + FRAME);
	} else {
		put_word(world, STATE + layout->tstate_cframe, BASE + CFRAME);
		put_word(world, CFRAME + layout->cframe_current_frame, BASE + FRAME);
	}
	for (uint64_t i = 0; i < 3; i++) {
		uint64_t frame = FRAME + i * FRAME_APART;

		put_word(world, frame + layout->frame_previous,
			 i < 2 ? BASE + frame + FRAME_APART : 0);
		put_word(world, frame + layout->frame_code, BASE + CODE);
		if (layout->frame_owner != MA_PY_ABSENT)
			put_word(world, frame + layout->frame_position,
				 BASE + CODE + layout->code_instructions + 4);
	}
	if (layout->frame_is_entry != MA_PY_ABSENT)
		world->bytes[FRAME + FRAME_APART + layout->frame_is_entry] = 1;
	put_word(world, CODE + layout->code_name, BASE + NAME);
	put_word(world, CODE + layout->code_filename, BASE + NAME);
	put_word(world, CODE + layout->code_linetable, BASE + LINES);
	put_text(world, "work");
}

static void test_every_version(void **state)
{
	struct world *world = *state;

	for (uint32_t version = 0x0308; version <= 0x030f; version++) {
		struct ma_py_stacks *stacks = world->stacks;
		struct ma_py_walk walk;

		build(world, version);
		ma_py_stacks_clear(stacks);
		ma_py_stacks_threads(&world->memory, &world->interpreter, stacks);
		assert_false(stacks->incomplete || stacks->finalizing);
		assert_int_equal(stacks->thread_count, 2);
		assert_int_equal(stacks->thread[0].thread_id, 0x7000);
		assert_false(stacks->thread[0].holds_gil);
		assert_true(stacks->thread[1].holds_gil);
		walk = ma_py_stacks_walk(&world->memory, &world->interpreter, stacks,
					 &stacks->thread[0]);
		assert_false(walk.broken);
		assert_int_equal(walk.count, 3);
		assert_int_equal(stacks->code_count, 1);
		assert_string_equal(stacks->text + stacks->code[0].name, "work");
		/* Each frame has a call of its own to 3.10; then only the outermost is marked. */
		assert_int_equal(stacks->place[0].flags & MA_PY_PLACE_ENTRY,
				 version < 0x030b ? MA_PY_PLACE_ENTRY : 0);
		assert_int_equal(stacks->place[1].flags & MA_PY_PLACE_ENTRY,
				 version < 0x030c ? MA_PY_PLACE_ENTRY : 0);
		assert_true(stacks->place[2].flags & MA_PY_PLACE_ENTRY);
	}
}

static void test_nobody_holds_the_gil(void **state)
{
	struct world *world = *state;

	for (uint32_t version = 0x0308; version <= 0x030f; version++) {
		const struct ma_py_layout *layout = &world->interpreter.layout;

		build(world, version);
		if (layout->runtime_gil_holder != MA_PY_ABSENT)
			put_word(world, RUNTIME + layout->runtime_gil_holder, 0);
		else /* it still says who had it last */
			memset(world->bytes + GIL + layout->gil_locked, 0, 4);
		ma_py_stacks_clear(world->stacks);
		ma_py_stacks_threads(&world->memory, &world->interpreter, world->stacks);
		assert_int_equal(world->stacks->thread_count, 2);
		assert_false(world->stacks->thread[0].holds_gil);
		assert_false(world->stacks->thread[1].holds_gil);
	}
}

static void test_finalizing(void **state)
{
	struct world *world = *state;

	build(world, 0x030b);
	put_word(world, RUNTIME + world->interpreter.layout.runtime_finalizing, BASE + STATE);
	ma_py_stacks_clear(world->stacks);
	ma_py_stacks_threads(&world->memory, &world->interpreter, world->stacks);
	assert_true(world->stacks->finalizing);
	assert_int_equal(world->stacks->thread_count, 0);
}

static void test_loops(void **state)
{
	struct world *world = *state;
	struct ma_py_walk walk;

	for (uint32_t version = 0x0308; version <= 0x030f; version++) {
		const struct ma_py_layout *layout = &world->interpreter.layout;

		build(world, version);
		put_word(world, STATE + STATE_APART + layout->tstate_next, BASE + STATE);
		put_word(world, FRAME + 2 * FRAME_APART + layout->frame_previous, BASE + FRAME);
		ma_py_stacks_clear(world->stacks);
		ma_py_stacks_threads(&world->memory, &world->interpreter, world->stacks);
		assert_true(world->stacks->incomplete);
		walk = ma_py_stacks_walk(&world->memory, &world->interpreter, world->stacks,
					 &world->stacks->thread[0]);
		assert_true(walk.broken && walk.count > 3);
	}
}

/* Words of noise, half of them pointers into the block. */
static void test_noise(void **state)
{
	struct world *world = *state;

	srand(1);
	for (int round = 0; round < NOISE_ROUNDS; round++) {
		build(world, 0x0308 + (uint32_t)round % 8);
		for (int i = 0; i < 40; i++) {
			uint64_t value = (uint64_t)rand();

			if (i & 1)
				value = BASE + value % BYTES / 8 * 8;
			put_word(world, (uint64_t)rand() % BYTES / 8 * 8, value);
			put_word(world, FRAME + (uint64_t)rand() % 0x600 / 8 * 8, value);
			put_word(world, NAME + (uint64_t)rand() % 0x40 / 8 * 8, value);
		}
		ma_py_stacks_clear(world->stacks);
		ma_py_stacks_threads(&world->memory, &world->interpreter, world->stacks);
		for (uint32_t i = 0; i < world->stacks->thread_count && i < 4; i++) {
			struct ma_py_walk walk =
				ma_py_stacks_walk(&world->memory, &world->interpreter,
						  world->stacks, &world->stacks->thread[i]);

			for (uint32_t k = 0; k < walk.count && k < 16; k++)
				ma_py_stacks_line(&world->interpreter, world->stacks,
						  &world->stacks->place[walk.first + k]);
		}
		assert_true(world->stacks->thread_count <= MA_PY_THREADS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_every_version, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nobody_holds_the_gil, setup, teardown),
		cmocka_unit_test_setup_teardown(test_finalizing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_noise, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
