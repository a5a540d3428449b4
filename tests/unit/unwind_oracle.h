/* SPDX-License-Identifier: MIT */
/*
 * What libdw says about a frame, worked out with made-up registers and a made-up memory, and what a
 * rule says about the same frame: an unwind table is right where the two agree.
 */
#ifndef MA_TESTS_UNWIND_ORACLE_H
#define MA_TESTS_UNWIND_ORACLE_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/unwind.h"

/* Where a walk goes on from some pc; equal results are equal frames. */
struct unwind_step {
	bool ends;      /* nothing is known, or the outermost function */
	bool outermost; /* the latter */
	uint64_t cfa, return_at;
	uint64_t rbp_at; /* where the caller's rbp is, 0 = in rbp */
	bool rbp_known;
};

/* By libdw. *sayable: false when it uses registers or expressions that rules do not know. */
struct unwind_step unwind_step_by_libdw(Dwarf_CFI *cfi, uint64_t pc, bool *sayable);

/* By a rule, NULL = none. */
struct unwind_step unwind_step_by_rule(const struct ma_unwind_rule *rule, uint64_t pc);

bool unwind_steps_are_equal(const struct unwind_step *a, const struct unwind_step *b);

#endif
