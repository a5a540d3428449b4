/* SPDX-License-Identifier: MIT */
/*
 * A thread's path against the walk of its stack, in made-up interpreters of every version: stacks
 * that change at random, and frames that are gone and must not be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hook_fake_python.h"
#include "inject/hook/cpu.h"
#include "inject/hook/sampler.h"
#include "inject/hook/site.h"

static const uint32_t versions[] = {0x0308, 0x0309, 0x030a, 0x030b, 0x030c, 0x030d, 0x030e, 0x030f};
enum {
	VERSIONS = sizeof(versions) / sizeof(versions[0]),
	SLOT = 5,
	CODES = 3,
	DEPTH = 90,
	ROUNDS = 20000,
	PAGE = 4096,
};

static uint64_t scratch[MA_MAX_FRAMES];
static struct fake_python python;
static void *memory;
static uint64_t seed = 1;

static uint32_t pick(uint32_t below)
{
	return (uint32_t)(ma_sampler_random(&seed) % below);
}

static void begin(uint32_t version, uint32_t tsc_khz)
{
	fake_init(&python, version);
	memory = mmap(NULL, MA_HOOK_PATHS_BYTES, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	python.area->ident.tsc_khz = tsc_khz;
	ma_hook_paths_init(memory);
}

static void end(void)
{
	ma_hook_paths_init(NULL);
	munmap(memory, MA_HOOK_PATHS_BYTES);
	fake_fini(&python);
}

/* The path's answer, which must be that of a walk if there is one. Returns whether there was. */
static bool asks(void)
{
	uint32_t known = ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT);
	uint32_t walked = ma_hook_site(scratch, MA_DOMAIN_OBJECT, SLOT);

	assert_true(walked);
	if (known)
		assert_int_equal(known, walked);
	else
		assert_int_equal(ma_hook_site_learn(scratch, MA_DOMAIN_OBJECT, SLOT), walked);
	return known != 0;
}

static void put_position(uint64_t frame, uint64_t code, uint32_t offset)
{
	const struct ma_py_layout *layout = &python.config.layout;

	if (layout->position == MA_PY_LASTI_BYTES)
		fake_put_int(frame, layout->frame_position, offset);
	else if (layout->position == MA_PY_LASTI_UNITS)
		fake_put_int(frame, layout->frame_position, offset / 2);
	else
		fake_put(frame, layout->frame_position, code + layout->code_instructions + offset);
}

static void put_innermost(uint64_t state, uint64_t frame)
{
	const struct ma_py_layout *layout = &python.config.layout;

	if (layout->tstate_cframe == MA_PY_ABSENT)
		fake_put(state, layout->tstate_frame, frame);
	else
		fake_put(*(uint64_t *)(uintptr_t)(state + layout->tstate_cframe),
			 layout->cframe_current_frame, frame);
}

/* Frames at fixed addresses, as on a stack; each change is one that a program can make. */
static uint32_t random_changes(void)
{
	uint64_t frames[DEPTH], codes[CODES], state;
	uint32_t depth = 1, found = 0;

	for (int i = 0; i < CODES; i++)
		codes[i] = fake_code(&python, "code", i);
	for (uint32_t i = 0; i < DEPTH; i++)
		frames[i] = fake_frame(&python, i ? frames[i - 1] : 0, codes[0], 20);
	state = fake_state(&python, frames[0]);
	fake_enter(state);
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t from = pick(4) ? depth - 1 : pick(depth); /* whoever went on */
		uint32_t to = from + pick(pick(8) ? 3 : DEPTH - from);

		/* All frames inside of it were called anew, most of them as they were before. */
		depth = to < DEPTH ? to + 1 : DEPTH;
		for (uint32_t i = from; i < depth; i++) {
			uint64_t code = codes[i == from || pick(64) == 0 ? pick(CODES) : 0];

			fake_put(frames[i], python.config.layout.frame_code,
				 code | python.config.layout.code_ref_mask);
			put_position(frames[i], code, 20 + 2 * (i == from ? pick(3) : 0));
		}
		put_innermost(state, frames[depth - 1]);
		found += asks();
	}
	return found;
}

static void test_random_changes(void **state)
{
	(void)state;
	for (int i = 0; i < VERSIONS; i++) {
		begin(versions[i], 0);
		assert_true(random_changes() > ROUNDS / 50);
		end();
	}
}

/*
 * Any frame of a deep stack goes on while those inside of it look the same, in the least time that
 * the calls in between can take.
 */
static void test_middle_goes_on(void **state)
{
	(void)state;
	for (int i = 0; i < VERSIONS; i++) {
		uint64_t frames[DEPTH], code;
		struct ma_path *path;

		begin(versions[i], 1000000);
		path = (struct ma_path *)((struct ma_call_tree *)memory + 1) + SLOT;
		code = fake_code(&python, "code", 1);
		for (uint32_t at = 0; at < DEPTH; at++)
			frames[at] = fake_frame(&python, at ? frames[at - 1] : 0, code, 20);
		fake_enter(fake_state(&python, frames[DEPTH - 1]));
		asks();
		asks();
		assert_true(asks());
		for (uint32_t at = 0; at < DEPTH; at++) {
			put_position(frames[at], code, 40);
			path->ticks = ma_cpu_ticks() - (DEPTH - at) * ma_path_call_ns(versions[i]);
			asks();
			put_position(frames[at], code, 20);
			path->ticks = 0;
			assert_true(asks());
		}
		path->ticks = ma_cpu_ticks();
		put_position(frames[DEPTH - 1 - MA_PATH_ALWAYS / 2], code, 60);
		asks();
		/* The daemon's clock has moved on: whatever changed is seen. */
		path->ticks = ma_cpu_ticks();
		put_position(frames[0], code, 60);
		python.area->control.clock_ms++;
		asks();
		end();
	}
}

/* What the stack no longer holds is not read: the frames of the past are on a page of their own. */
static void test_gone(void **state)
{
	(void)state;
	for (int i = 0; i < VERSIONS; i++) {
		uint64_t code, outer, past, inner, thread;

		begin(versions[i], 0);
		code = fake_code(&python, "code", 1);
		outer = fake_frame(&python, 0, code, 20);
		python.used = (python.used + PAGE - 1) / PAGE * PAGE;
		past = fake_frame(&python, outer, code, 20);
		python.used += PAGE;
		inner = fake_frame(&python, past, code, 20);
		thread = fake_state(&python, inner);
		fake_enter(thread);
		asks();
		asks();
		assert_true(asks());
		assert_int_equal(mprotect((void *)(uintptr_t)(past / PAGE * PAGE), PAGE, PROT_NONE),
				 0);
		fake_put(inner, python.config.layout.frame_previous, outer);
		asks();
		fake_put(inner, python.config.layout.frame_previous, 0);
		asks();
		put_innermost(thread, outer);
		asks();
		put_innermost(thread, 0);
		asks();
		end();
	}
}

/* A code object that died takes its identity along, also where nothing else tells of it. */
static void test_code_dies(void **state)
{
	(void)state;
	for (int i = 0; i < VERSIONS; i++) {
		uint64_t code, name;
		uint32_t site;

		begin(versions[i], 0);
		code = fake_code(&python, "first", 1);
		fake_enter(fake_state(&python, fake_frame(&python, 0, code, 20)));
		asks();
		asks();
		assert_true(asks());
		site = ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT);
		ma_hook_code_freed(code);
		name = fake_text(&python, "second", 6, 1);
		memset((void *)(uintptr_t)code, 0, FAKE_CODE_BYTES);
		fake_code_at(&python, code, name, 2);
		assert_int_equal(ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT), 0);
		asks();
		asks();
		assert_true(asks());
		assert_int_not_equal(ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT), site);
		end();
	}
}

/* Threads that share a slot have no path, and other domains and threads have other sites. */
static void test_sites(void **state)
{
	uint32_t site, bare;

	(void)state;
	begin(0x030b, 0);
	fake_enter(fake_state(&python, fake_frame(&python, 0, fake_code(&python, "code", 1), 20)));
	asks();
	asks();
	site = ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT);
	assert_true(site);
	assert_int_equal(ma_hook_site_known(MA_DOMAIN_OBJECT, 0), 0);
	assert_int_equal(ma_hook_site_known(MA_DOMAIN_MALLOC, SLOT), 0);
	assert_int_not_equal(ma_hook_site_learn(scratch, MA_DOMAIN_MALLOC, SLOT), site);
	assert_int_equal(ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT), site);
	assert_int_equal(ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT + 1), 0);
	assert_int_not_equal(ma_hook_site_learn(scratch, MA_DOMAIN_OBJECT, SLOT + 1), site);
	assert_int_equal(ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT), site);

	fake_enter(0);
	assert_false(asks());
	assert_true(asks());
	bare = ma_hook_site_known(MA_DOMAIN_OBJECT, SLOT);
	assert_int_equal(python.area->tables.sites[bare].flags, MA_STACK_NO_PYTHON);
	fake_enter(8); /* which is no state: what is wrong is not mistaken for nothing */
	assert_false(asks());
	assert_false(asks());
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_changes), cmocka_unit_test(test_middle_goes_on),
		cmocka_unit_test(test_gone),           cmocka_unit_test(test_code_dies),
		cmocka_unit_test(test_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
