/* SPDX-License-Identifier: MIT */
/*
 * Which Python runs in a process, told from outside with reads alone: the object that holds the
 * interpreter (the executable, libpython, or any program that embeds it), its version out of its
 * own memory, and where its structs keep what a frame walk reads. What is not a CPython that we
 * support is named for what it is.
 */
#ifndef MA_INJECT_INTERPRETER_H
#define MA_INJECT_INTERPRETER_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/hook/cpython/layout.h"
#include "inject/link_map.h"
#include "inject/remote_memory.h"
#include "proto/error.h"

struct ma_interpreter {
	uint32_t version; /* PY_VERSION_HEX; 0 = none recognised */
	char release[24]; /* "3.11.7", "3.15.0b1+" as the interpreter says; or what it is instead */
	bool free_threaded; /* built without the GIL: not supported, reported */
	bool debug_offsets; /* layout was checked against the target's own _Py_DebugOffsets */
	size_t object;      /* index in the link map */
	struct ma_py_layout layout;
	/* all 0 until recognised */
	struct ma_raddr runtime; /* _PyRuntime */
	struct ma_raddr get_allocator;
	struct ma_raddr set_allocator;
	struct ma_raddr get_arena_allocator;
	struct ma_raddr set_arena_allocator;
	struct ma_raddr this_thread_state; /* PyGILState_GetThisThreadState */
};

/*
 * Recognises the interpreter. Errors: MA_ERR_NOT_PYTHON (release says what it is: "PyPy",
 * "Python 2.7", "GraalPy", "not Python (/usr/bin/sleep)", "free-threaded Python 3.13.0";
 * *interpreter is filled as far as known); MA_ERR_FAILED when its memory could not be read.
 */
int ma_interpreter_find(const struct ma_target_memory *memory, const struct ma_link_map *map,
			struct ma_interpreter *interpreter, struct ma_error *error);

/* Turns "3.8.18", "3.13.0rc2+", "3.15.0a1 (main, ...)" into PY_VERSION_HEX; 0 = no version. Pure.
 */
uint32_t ma_interpreter_version_hex(const char *text);

/* Does an executable or library of this path look like Python by its name? For the cheap listing.
 */
bool ma_interpreter_named(const char *path);

#endif
