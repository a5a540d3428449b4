/* SPDX-License-Identifier: MIT */
/*
 * A small unwind area made by the daemon's own code, with tables, modules and stacks of a test's
 * choice, and a stack made of words to walk on.
 */
#ifndef MA_TESTS_FAKE_UNWIND_H
#define MA_TESTS_FAKE_UNWIND_H

#include <stdint.h>

#include "daemon/unwind_area.h"
#include "inject/hook/unwind.h"
#include "proto/area.h"

enum { FAKE_STACK_WORDS = 1 << 16, FAKE_UNWIND_MODULES = 8 };

/* A function of a fake module: from pc on (as the file counts) this rule holds. */
struct fake_function {
	uint32_t pc;
	struct ma_unwind_rule rule;
};

struct fake_unwind {
	struct ma_unwind_area_map map; /* the daemon's */
	struct ma_unwinder unwinder;   /* the hook's */
	struct ma_hook_config config;
	struct ma_area *area;
	struct ma_unwind_module modules[FAKE_UNWIND_MODULES];
	uint32_t module_count;
	struct ma_unwind_stack stack;
	uint64_t *words;  /* FAKE_STACK_WORDS of them: the stack */
	uint64_t *frames; /* MA_MAX_FRAMES */
	struct ma_unwind_start start;
	uint32_t python_count; /* frames that are there already */
	struct ma_walk walk;
};

/* An area without modules whose only stack is `words`; the thread block is its last word. Nothing
 * is published yet. Fails the test when it cannot be had. */
void fake_unwind_init(struct fake_unwind *fake);
void fake_unwind_fini(struct fake_unwind *fake);

/* Adds a module of `bytes` at an address above those before, its table from these functions. */
void fake_unwind_module(struct fake_unwind *fake, uint64_t start, uint64_t bytes, uint32_t id,
			const struct fake_function *functions, uint32_t count);

/* Puts what there is in force. */
void fake_unwind_publish(struct fake_unwind *fake);

/* Walks from pc with rsp at words[at] and this rbp; the result is in fake->walk. */
void fake_unwind_walk(struct fake_unwind *fake, uint64_t pc, uint32_t at, uint64_t rbp);

/* Address of a word of the stack. */
uint64_t fake_unwind_at(const struct fake_unwind *fake, uint32_t word);

#endif
