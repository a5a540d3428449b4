/* SPDX-License-Identifier: MIT */
/*
 * The Python frames of stopped threads, read from outside by the interpreter's struct layout: its
 * list of threads, who holds the GIL, and each thread's chain of frames with what their code
 * objects say. All of it is read while the threads stand still, because a frame and its code may be
 * freed as soon as they go on. The memory may be hostile: every pointer is checked and every loop
 * is bounded.
 */
#ifndef MA_INJECT_PYTHON_STACKS_H
#define MA_INJECT_PYTHON_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/interpreter.h"
#include "inject/remote_memory.h"

/* What is special about a frame. */
enum {
	MA_PY_PLACE_ENTRY = 1,  /* the outermost one of its call of the interpreter loop */
	MA_PY_PLACE_HIDDEN = 2, /* still being set up: counts as a frame, runs no code yet */
};

/* One Python frame. */
struct ma_py_place {
	uint32_t code; /* index into the codes */
	uint32_t flags;
	uint32_t offset_bytes; /* of the instruction in the bytecode */
};

/* What a code object says; offsets are into the text. */
struct ma_py_code {
	uint64_t address;
	uint32_t name;     /* UTF-8, terminated: co_qualname, or co_name before 3.11 */
	uint32_t filename; /* the same */
	uint32_t lines;    /* the line table, whole or not at all */
	uint32_t lines_bytes;
	int32_t first_line;
	int32_t first_traceable_bytes;
};

/* A PyThreadState. */
struct ma_py_thread {
	uint64_t state;
	uint64_t interpreter;
	uint64_t thread_id; /* pthread_self of its thread: the thread pointer on Linux */
	bool holds_gil;
};

enum {
	MA_PY_THREADS = 1 << 14,
	MA_PY_PLACES = 1 << 19,
	MA_PY_CODES = 1 << 15,
	MA_PY_TEXT_BYTES = 1 << 26,
};

/*
 * Everything that was read of one stop. Sparse memory of its own (it is large), shared with child
 * processes that are forked later.
 */
struct ma_py_stacks {
	bool finalizing; /* the interpreter shuts down: its threads' states are not to be trusted */
	bool incomplete; /* the list of threads could not be read to its end, or room is out */
	uint32_t thread_count;
	uint32_t place_count;
	uint32_t code_count;
	uint32_t text_bytes;
	struct ma_py_thread thread[MA_PY_THREADS];
	struct ma_py_place place[MA_PY_PLACES];
	struct ma_py_code code[MA_PY_CODES];
	uint32_t slot[2 * MA_PY_CODES]; /* codes by address, index + 1 */
	char text[MA_PY_TEXT_BYTES];
};

/* What a walk came to. */
struct ma_py_walk {
	uint32_t first; /* of its places, innermost first */
	uint32_t count;
	bool broken; /* a frame was not what it must be: the rest is missing */
};

/* Forgets what was read. */
void ma_py_stacks_clear(struct ma_py_stacks *stacks);

/* Reads the thread states of all interpreters and who holds the GIL, at the beginning of a stop.
 * Tracer, target stopped. */
void ma_py_stacks_threads(const struct ma_target_memory *memory,
			  const struct ma_interpreter *interpreter, struct ma_py_stacks *stacks);

/* Reads the frames of one thread state and describes their codes. Tracer, thread stopped. */
struct ma_py_walk ma_py_stacks_walk(const struct ma_target_memory *memory,
				    const struct ma_interpreter *interpreter,
				    struct ma_py_stacks *stacks, const struct ma_py_thread *thread);

/* The source line of a place; 0 = it has none. */
int ma_py_stacks_line(const struct ma_interpreter *interpreter, const struct ma_py_stacks *stacks,
		      const struct ma_py_place *place);

#endif
