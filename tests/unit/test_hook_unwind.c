/* SPDX-License-Identifier: MIT */
/*
 * The native walk on stacks and by tables that are made up: every kind of rule, and what is wrong
 * with a stack or an index, which must cut the walk and be counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake_unwind.h"

/* Module A, and where its functions begin. */
enum {
	A = 0x400000,
	LEAF = 0x100,    /* 16 bytes */
	PLAIN = 0x200,   /* 24 bytes */
	KEEPER = 0x300,  /* a frame pointer, saved the usual way */
	ALIGNED = 0x400, /* realigned: its CFA was stored */
	PLT = 0x500,
	SIGNAL = 0x600,
	LOSER = 0x700,   /* nobody knows its caller's rbp */
	NOTHING = 0x800, /* no rule */
	STUCK = 0x900,   /* its frame does not grow */
	START = 0xa00,   /* the outermost function */
	ODD = 0xb00,     /* a rule that is none */
	END = 0x1000,
	MODULE = 7,
	UCONTEXT_AT = 1, /* words from rsp to struct ucontext in a signal frame */
};

static const struct fake_function functions[] = {
	{0, {.cfa = MA_CFA_NONE}},
	{LEAF, {.cfa = MA_CFA_RSP, .cfa_offset = 16}},
	{PLAIN, {.cfa = MA_CFA_RSP, .cfa_offset = 24}},
	{KEEPER, {.cfa = MA_CFA_RBP, .cfa_offset = 16, .saved_rbp = -2}},
	{ALIGNED, {.cfa = MA_CFA_RBP_DEREF, .cfa_offset = -8, .saved_rbp = -2}},
	{PLT, {.cfa = MA_CFA_PLT, .cfa_offset = 11}},
	{SIGNAL, {.cfa = MA_CFA_SIGNAL, .cfa_offset = 8 * UCONTEXT_AT}},
	{LOSER, {.cfa = MA_CFA_RSP, .cfa_offset = 16, .saved_rbp = MA_UNWIND_RBP_LOST}},
	{NOTHING, {.cfa = MA_CFA_NONE}},
	{STUCK, {.cfa = MA_CFA_RSP, .cfa_offset = 0}},
	{START, {.cfa = MA_CFA_END}},
	{ODD, {.cfa = MA_CFA_RSP, .cfa_offset = 1 << 24}},
};

static struct fake_unwind fake;

static int set_up(void **state)
{
	(void)state;
	fake_unwind_init(&fake);
	fake_unwind_module(&fake, A, END, MODULE, functions,
			   sizeof functions / sizeof functions[0]);
	fake_unwind_publish(&fake);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_unwind_fini(&fake);
	return 0;
}

/* A return address into a function. */
static uint64_t into(uint32_t function)
{
	return A + function + 0x21;
}

/* The last walk found these pcs, in this order and no others. */
static void expect(uint32_t flags, uint32_t count, const uint64_t *pcs)
{
	uint64_t hash = 0;

	assert_int_equal(fake.walk.flags, flags);
	assert_int_equal(fake.walk.count, count);
	for (uint32_t i = 0; i < count; i++) {
		assert_true(MA_FRAME_IS_NATIVE(fake.frames[i]));
		assert_int_equal(MA_FRAME_NATIVE_MODULE(fake.frames[i]), MODULE);
		assert_int_equal(MA_FRAME_NATIVE_PC(fake.frames[i]), pcs[i]);
		hash = ma_walk_mix(hash, fake.frames[i]);
	}
	assert_true(fake.walk.hash == hash);
}

#define EXPECT(flags, ...)                                                                         \
	do {                                                                                       \
		const uint64_t pcs_[] = {__VA_ARGS__};                                             \
		expect(flags, sizeof pcs_ / sizeof pcs_[0], pcs_);                                 \
	} while (0)

static void test_usual_frames(void **state)
{
	(void)state;
	/* LEAF called from PLAIN called from KEEPER (whose rbp LEAF's frame did not touch). */
	fake.words[11] = into(PLAIN);
	fake.words[14] = into(KEEPER);
	fake.words[20] = fake_unwind_at(&fake, 40); /* its caller's rbp */
	fake.words[21] = into(KEEPER);
	fake.words[40] = 0x1234;
	fake.words[41] = into(START);
	fake_unwind_walk(&fake, A + LEAF, 10, fake_unwind_at(&fake, 20));
	EXPECT(0, A + LEAF, into(PLAIN) - 1, into(KEEPER) - 1, into(KEEPER) - 1, into(START) - 1);
	/* And again, out of the cache. */
	fake_unwind_walk(&fake, A + LEAF, 10, fake_unwind_at(&fake, 20));
	EXPECT(0, A + LEAF, into(PLAIN) - 1, into(KEEPER) - 1, into(KEEPER) - 1, into(START) - 1);
	/* No return address ends a stack as well. */
	fake.words[14] = 0;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(0, A + LEAF, into(PLAIN) - 1);
}

static void test_realigned_frame(void **state)
{
	(void)state;
	/* rbp of the function is word 20; its CFA was stored below it, its caller's rbp at it. */
	fake.words[19] = fake_unwind_at(&fake, 30);
	fake.words[20] = fake_unwind_at(&fake, 40);
	fake.words[29] = into(KEEPER);
	fake.words[40] = 0;
	fake.words[41] = into(START);
	fake_unwind_walk(&fake, A + ALIGNED, 10, fake_unwind_at(&fake, 20));
	EXPECT(0, A + ALIGNED, into(KEEPER) - 1, into(START) - 1);
	fake.words[19] = fake_unwind_at(&fake, 5); /* below */
	fake_unwind_walk(&fake, A + ALIGNED, 10, fake_unwind_at(&fake, 20));
	EXPECT(MA_STACK_NATIVE_CUT, A + ALIGNED);
	assert_int_equal(fake.area->counters.native_broken, 1);
}

static void test_plt(void **state)
{
	(void)state;
	fake.words[10] = into(START);
	fake.words[11] = into(PLAIN);
	fake.words[14] = into(START);
	fake_unwind_walk(&fake, A + PLT + 6, 10, 0);
	EXPECT(0, A + PLT + 6, into(START) - 1);
	fake_unwind_walk(&fake, A + PLT + 11, 10, 0);
	EXPECT(0, A + PLT + 11, into(PLAIN) - 1, into(START) - 1);
}

/* Writes what a signal at this pc left on the stack; rsp of the handler's caller is words[at]. */
static void interrupt(uint32_t at, uint64_t pc, uint64_t rsp, uint64_t rbp)
{
	uint64_t *registers = &fake.words[at + UCONTEXT_AT + 5];

	registers[10] = rbp;
	registers[15] = rsp;
	registers[16] = pc;
}

static void test_signal_frame(void **state)
{
	static uint64_t other[64];

	(void)state;
	/* A handler (LEAF) on the stack that it interrupted: the first instruction of KEEPER. */
	fake.words[11] = into(SIGNAL);
	interrupt(12, A + KEEPER, fake_unwind_at(&fake, 50), fake_unwind_at(&fake, 60));
	fake.words[60] = 0;
	fake.words[61] = into(START);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(0, A + LEAF, into(SIGNAL) - 1, A + KEEPER, into(START) - 1);
	/* One on the stack that the program was started with. */
	other[8] = 0;
	other[9] = into(START);
	fake.unwinder.main_stack_end = (uint64_t)(uintptr_t)&other[64];
	interrupt(12, A + KEEPER, (uint64_t)(uintptr_t)&other[4], (uint64_t)(uintptr_t)&other[8]);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(0, A + LEAF, into(SIGNAL) - 1, A + KEEPER, into(START) - 1);
	/* And on nobody's. */
	interrupt(12, A + KEEPER, 0x1000, 0);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, into(SIGNAL) - 1);
	assert_int_equal(fake.area->counters.native_no_stack, 1);
	assert_int_equal(fake.area->wants.stack, 0x1000);
	interrupt(12, UINT64_MAX, fake_unwind_at(&fake, 50), 0);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, into(SIGNAL) - 1);
	assert_int_equal(fake.area->counters.native_broken, 1);
	/* Stacks that lead to each other end some time. */
	interrupt(12, into(SIGNAL), fake_unwind_at(&fake, 12), 0);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	assert_int_equal(fake.walk.flags, MA_STACK_NATIVE_CUT);
	assert_true(fake.walk.count < 10);
}

static void test_unknown_code(void **state)
{
	(void)state;
	fake.words[11] = 0x500123;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF);
	assert_int_equal(fake.area->counters.native_no_module, 1);
	assert_int_equal(fake.area->wants.pc, 0x500122);
	/* Known the next time: a module without a table. */
	fake_unwind_module(&fake, 0x500000, 0x1000, MODULE, NULL, 0);
	fake_unwind_publish(&fake);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, 0x500122);
	assert_int_equal(fake.area->counters.native_no_rule, 1);
	fake.words[11] = into(ODD);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, into(ODD) - 1);
	assert_int_equal(fake.area->counters.native_no_rule, 2);
	assert_int_equal(fake.area->counters.native_broken, 0);
}

static void test_bad_frames(void **state)
{
	uint32_t last = FAKE_STACK_WORDS - 1; /* the thread's block: nothing from there on */

	(void)state;
	fake.words[11] = into(STUCK);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, into(STUCK) - 1);
	assert_int_equal(fake.area->counters.native_broken, 1);
	fake.words[11] = UINT64_C(1) << 47;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF);
	assert_int_equal(fake.area->counters.native_broken, 2);
	/* A return address that would lie in the thread's block. */
	fake.words[last] = into(START);
	fake_unwind_walk(&fake, A + LEAF, last - 1, 0);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF);
	assert_int_equal(fake.area->counters.native_broken, 3);
	fake.words[last - 1] = into(START);
	fake_unwind_walk(&fake, A + LEAF, last - 2, 0);
	EXPECT(0, A + LEAF, into(START) - 1);
	/* A frame pointer that leads anywhere, and one that nobody knows. */
	fake.words[11] = into(KEEPER);
	fake_unwind_walk(&fake, A + LEAF, 10, 0xdead);
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, into(KEEPER) - 1);
	assert_int_equal(fake.area->counters.native_broken, 4);
	fake_unwind_walk(&fake, A + LOSER, 10, fake_unwind_at(&fake, 40));
	EXPECT(MA_STACK_NATIVE_CUT, A + LOSER, into(KEEPER) - 1);
	assert_int_equal(fake.area->counters.native_no_rule, 1);
}

static void test_whose_stack(void **state)
{
	(void)state;
	fake.words[11] = into(START);
	/* Listed, but the thread's own block is elsewhere: somebody else's, or a coroutine's. */
	fake.start.thread_pointer = 0x700000;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	expect(MA_STACK_NATIVE_CUT, 0, NULL);
	assert_int_equal(fake.area->counters.native_no_stack, 1);
	assert_int_equal(fake.area->wants.stack, fake_unwind_at(&fake, 10));
	fake.unwinder.main_stack_end = fake_unwind_at(&fake, 13);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(0, A + LEAF, into(START) - 1);
	fake_unwind_walk(&fake, A + LEAF, 20, 0);
	expect(MA_STACK_NATIVE_CUT, 0, NULL);
	/* Not listed. */
	fake.unwinder.main_stack_end = 0;
	fake.start.thread_pointer = fake.stack.end - 8;
	fake.stack.end = fake_unwind_at(&fake, 9);
	fake_unwind_publish(&fake);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	expect(MA_STACK_NATIVE_CUT, 0, NULL);
	assert_int_equal(fake.area->counters.native_no_stack, 3);
}

static void test_frame_pointers(void **state)
{
	(void)state;
	/* NOTHING keeps a frame pointer at word 20 and was called from KEEPER. */
	fake.words[11] = into(NOTHING);
	fake.words[20] = fake_unwind_at(&fake, 30);
	fake.words[21] = into(KEEPER);
	fake.words[30] = 0;
	fake.words[31] = into(START);
	fake_unwind_walk(&fake, A + LEAF, 10, fake_unwind_at(&fake, 20));
	EXPECT(MA_STACK_NATIVE_GUESSED, A + LEAF, into(NOTHING) - 1, into(KEEPER) - 1,
	       into(START) - 1);
	assert_int_equal(fake.area->counters.native_guessed, 1);
	/* What leads nowhere in the end is not believed at all. */
	fake.words[31] = 0x600000;
	fake_unwind_walk(&fake, A + LEAF, 10, fake_unwind_at(&fake, 20));
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, into(NOTHING) - 1);
	fake.words[31] = 0;
	fake_unwind_walk(&fake, A + LEAF, 10, fake_unwind_at(&fake, 20));
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, into(NOTHING) - 1);
	fake_unwind_walk(&fake, A + LEAF, 10, fake_unwind_at(&fake, 11)); /* below it */
	EXPECT(MA_STACK_NATIVE_CUT, A + LEAF, into(NOTHING) - 1);
	assert_int_equal(fake.area->counters.native_no_rule, 3);
	assert_int_equal(fake.area->counters.native_guessed, 1);
}

static void test_deep_stack(void **state)
{
	uint32_t python = MA_MAX_PYTHON_FRAMES;

	(void)state;
	for (uint32_t i = 0; i < FAKE_STACK_WORDS - 1; i++)
		fake.words[i] = into(LEAF);
	fake_unwind_walk(&fake, A + LEAF, 0, 0);
	assert_int_equal(fake.walk.count, MA_MAX_FRAMES);
	assert_int_equal(fake.walk.flags, MA_STACK_NATIVE_CUT);
	assert_int_equal(fake.area->counters.native_deep, 1);
	/* The Python frames are there already, and stay. */
	for (uint32_t i = 0; i < python; i++)
		fake.frames[i] = MA_FRAME(i + 1, 2);
	fake.words[2 * (MA_MAX_FRAMES - python) - 1] = into(START);
	fake.python_count = python;
	fake_unwind_walk(&fake, A + LEAF, 2, 0);
	assert_int_equal(fake.walk.count, MA_MAX_FRAMES);
	assert_int_equal(fake.walk.flags, 0);
	assert_int_equal(fake.frames[python - 1], MA_FRAME(python, 2));
	assert_int_equal(MA_FRAME_NATIVE_PC(fake.frames[python]), A + LEAF);
	assert_int_equal(MA_FRAME_NATIVE_PC(fake.frames[MA_MAX_FRAMES - 1]), into(START) - 1);
}

static void test_own_frames(void **state)
{
	(void)state;
	fake.unwinder.own_start = A + LEAF;
	fake.unwinder.own_end = A + PLAIN;
	fake.words[11] = into(LEAF);
	fake.words[13] = into(PLAIN);
	fake.words[16] = into(LEAF);
	fake.words[18] = into(START);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(0, into(PLAIN) - 1, into(START) - 1);
	/* However many there are. */
	for (uint32_t i = 0; i < FAKE_STACK_WORDS - 1; i++)
		fake.words[i] = into(LEAF);
	fake_unwind_walk(&fake, A + LEAF, 0, 0);
	expect(MA_STACK_NATIVE_CUT, 0, NULL);
}

static void test_index_changes(void **state)
{
	static const struct fake_function other[] = {
		{0, {.cfa = MA_CFA_RSP, .cfa_offset = 24}},
		{START, {.cfa = MA_CFA_END}},
	};
	struct ma_unwind_index *index;

	(void)state;
	fake.words[11] = into(START);
	fake.words[12] = into(START);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(0, A + LEAF, into(START) - 1);
	/* Another module at the same place: what is remembered of the old one no longer counts. */
	fake.module_count = 0;
	fake_unwind_module(&fake, A, END, MODULE, other, 2);
	fake_unwind_publish(&fake);
	fake.words[11] = 0;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(0, A + LEAF, into(START) - 1);
	/* An index that is being written is left alone. */
	index = &fake.map.area->index[fake.map.area->current - 1];
	index->sequence++;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	expect(0, 0, NULL);
	index->sequence++;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	EXPECT(0, A + LEAF, into(START) - 1);
	fake.map.area->current = 0;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	expect(0, 0, NULL);
	fake.map.area->current = MA_UNWIND_INDEXES + 1;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	expect(0, 0, NULL);
}

/* What a table says of itself is held against the mapping. */
static void test_bad_tables(void **state)
{
	struct ma_unwind_table *table = (void *)((uint8_t *)fake.map.area + fake.modules[0].table);
	struct ma_unwind_module *module;
	const struct ma_unwind_table good = *table;
	uint64_t broken = 0;

	(void)state;
	fake.words[11] = into(START);
#define BROKEN(change)                                                                             \
	do {                                                                                       \
		table->change;                                                                     \
		memset(fake.unwinder.cache, 0, sizeof fake.unwinder.cache);                        \
		fake_unwind_walk(&fake, A + LEAF, 10, 0);                                          \
		expect(MA_STACK_NATIVE_CUT, 0, NULL);                                              \
		assert_int_equal(fake.area->counters.native_broken, ++broken);                     \
		*table = good;                                                                     \
	} while (0)
	BROKEN(blocks = MA_UNWIND_BYTES);
	BROKEN(blocks = MA_UNWIND_BYTES - 8);
	BROKEN(rows = UINT64_MAX - 7);
	BROKEN(rules = MA_UNWIND_BYTES - 4);
	BROKEN(rule = 4);
	BROKEN(block_count = UINT32_MAX);
	BROKEN(block_count = 1);
	BROKEN(row_count = 1);
	BROKEN(row_count = UINT32_MAX);
	BROKEN(rule_count = 1);
	/* A module's own words. */
	module = &fake.map.area->index[fake.map.area->current - 1].modules[0];
	module->table = MA_UNWIND_BYTES - 8;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	assert_int_equal(fake.area->counters.native_broken, ++broken);
	module->table = fake.modules[0].table + 4;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	assert_int_equal(fake.area->counters.native_broken, ++broken);
	module->id = 1 << 16;
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	assert_int_equal(fake.area->counters.native_no_module, 1);
}

static void test_unusable_area(void **state)
{
	struct ma_hook_config config = fake.config;

	(void)state;
	config.unwind_bytes = sizeof(struct ma_unwind_area) - 1;
	ma_unwind_init(&fake.unwinder, &config);
	assert_null(fake.unwinder.area);
	fake_unwind_walk(&fake, A + LEAF, 10, 0);
	expect(0, 0, NULL);
	fake.map.area->version++;
	ma_unwind_init(&fake.unwinder, &fake.config);
	assert_null(fake.unwinder.area);
	config.unwind = 0;
	ma_unwind_init(&fake.unwinder, &config);
	assert_null(fake.unwinder.area);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_usual_frames),  TEST(test_realigned_frame), TEST(test_plt),
		TEST(test_signal_frame),  TEST(test_unknown_code),    TEST(test_bad_frames),
		TEST(test_whose_stack),   TEST(test_frame_pointers),  TEST(test_deep_stack),
		TEST(test_own_frames),    TEST(test_index_changes),   TEST(test_bad_tables),
		TEST(test_unusable_area),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
