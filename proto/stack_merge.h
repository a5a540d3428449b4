/* SPDX-License-Identifier: MIT */
/*
 * One stack out of two: the native frames of a thread, and the Python frames that its calls of the
 * interpreter loop run. Until 3.10 each Python frame has a call of its own; from 3.11 on a call may
 * run several, and the outermost of them is marked. Shared by whoever
 * has two such stacks: of a stopped thread, and of an allocation.
 */
#ifndef MA_PROTO_STACK_MERGE_H
#define MA_PROTO_STACK_MERGE_H

#include <stdbool.h>
#include <stdint.h>

/* What a native frame is to the merge. */
enum ma_native_role {
	MA_NATIVE_OTHER,    /* shown */
	MA_NATIVE_LOOP,     /* the interpreter loop: replaced by the frames that it runs */
	MA_NATIVE_GLUE,     /* how the interpreter calls Python functions: left out */
	MA_NATIVE_NAMELESS, /* in the interpreter, without a name: left out between loops */
};

/* What the merge wants to know of a Python frame. */
enum ma_python_mark {
	MA_PYTHON_ENTRY = 1,  /* the outermost one of its call of the interpreter loop */
	MA_PYTHON_HIDDEN = 2, /* counts as a frame of its call, and is not shown */
};

/* The role of a function of the interpreter; NULL = it has no name. Pure. */
enum ma_native_role ma_stack_role(const char *function);

/* Is this one of the functions by which C, C++ and Python code asks for memory (operator new,
 * PyMem_Malloc)? Every stack of an allocation ends in some of them. Pure. */
bool ma_stack_is_allocator(const char *function);

struct ma_merged {
	bool python;
	uint32_t index; /* of the native frame, or of the Python frame */
};

struct ma_merge {
	uint32_t count;  /* of merged frames */
	uint32_t folded; /* native frames left out */
	bool exact;      /* each call of the loop got its own frames; else they are in order, but
			    where they belong among the native ones is a guess */
};

/*
 * Merges; both stacks innermost first. complete: the native one goes down to the thread's start.
 * mark: of the Python frames, bits of enum ma_python_mark. merged has room for natives + pythons.
 * Pure.
 */
struct ma_merge ma_stack_merge(const enum ma_native_role *role, uint32_t natives, bool complete,
			       const uint8_t *mark, uint32_t pythons, struct ma_merged *merged);

#endif
