/* SPDX-License-Identifier: MIT */
/*
 * One stack out of two: the native frames of a thread, and the Python frames that its calls of the
 * interpreter loop run. Until 3.10 each Python frame has a call of its own; from 3.11 on a call may
 * run several, and the outermost of them is marked (MA_PY_PLACE_ENTRY).
 */
#ifndef MA_INJECT_STACK_MERGE_H
#define MA_INJECT_STACK_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/python_stacks.h"

/* What a native frame is to the merge. */
enum ma_native_role {
	MA_NATIVE_OTHER,    /* shown */
	MA_NATIVE_LOOP,     /* the interpreter loop: replaced by the frames that it runs */
	MA_NATIVE_GLUE,     /* how the interpreter calls Python functions: left out */
	MA_NATIVE_NAMELESS, /* in the interpreter, without a name: left out between loops */
};

/* The role of a function of the interpreter; NULL = it has no name. Pure. */
enum ma_native_role ma_stack_role(const char *function);

struct ma_merged {
	bool python;
	uint32_t index; /* of the native frame, or of the place */
};

struct ma_merge {
	uint32_t count;  /* of merged frames */
	uint32_t folded; /* native frames left out */
	bool exact;      /* each call of the loop got its own frames; else they are in order, but
			    where they belong among the native ones is a guess */
};

/*
 * Merges; both stacks innermost first. complete: the native one goes down to the thread's start.
 * merged has room for natives + places. Pure.
 */
struct ma_merge ma_stack_merge(const enum ma_native_role *role, uint32_t natives, bool complete,
			       const struct ma_py_place *place, uint32_t places,
			       struct ma_merged *merged);

#endif
