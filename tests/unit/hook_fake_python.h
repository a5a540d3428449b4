/* SPDX-License-Identifier: MIT */
/*
 * An interpreter made of bytes: thread states, frames, code objects and strings laid out as a given
 * CPython lays them out, so that the hook's walk and its tables can be tested without one, and with
 * contents that a real one never has.
 */
#ifndef MA_TESTS_HOOK_FAKE_PYTHON_H
#define MA_TESTS_HOOK_FAKE_PYTHON_H

#include <stddef.h>
#include <stdint.h>

#include "inject/hook/config.h"
#include "inject/hook/tables.h"

struct fake_python {
	struct ma_area *area;
	struct ma_hook_config config;
	struct ma_writer writer;
	uint8_t *memory; /* objects, one after the other */
	size_t used;
	uint64_t root_type; /* `type` */
	uint64_t some_type; /* a type that is not `type` */
	uint64_t main_interpreter;
	uint64_t filename; /* a string that all code objects share */
};

enum { FAKE_MEMORY_BYTES = 64 << 20 };

/* An interpreter of this version (major << 8 | minor) with an empty area. Fails the test if it
 * cannot be had. fini releases it. */
void fake_init(struct fake_python *python, uint32_t version);
void fake_fini(struct fake_python *python);

/* Stores into fake memory. */
void fake_put(uint64_t address, uint64_t offset, uint64_t word);
void fake_put_int(uint64_t address, uint64_t offset, uint32_t word);

/* Zeroed memory for an object. */
uint64_t fake_object(struct fake_python *python, size_t bytes, uint64_t type);
uint64_t fake_text(struct fake_python *python, const void *data, uint32_t length, uint32_t kind);
uint64_t fake_bytes(struct fake_python *python, const void *data, uint64_t bytes);

/* A code object of this name; the file is "fake.py", the line table four bytes. */
uint64_t fake_code(struct fake_python *python, const char *name, int first_line);
/* The same at an address of the caller's choice. */
void fake_code_at(struct fake_python *python, uint64_t address, uint64_t name, int first_line);
enum { FAKE_CODE_BYTES = 256 };

/* A frame that runs `code` at a byte offset, called from `previous` (0 = nobody). */
uint64_t fake_frame(struct fake_python *python, uint64_t previous, uint64_t code, int offset);

/* A thread state whose innermost frame is `frame`, of the calling thread. */
uint64_t fake_state(struct fake_python *python, uint64_t frame);

/* The state that PyGILState_GetThisThreadState returns to the calling thread from now on. */
void fake_enter(uint64_t state);

/* Walks the calling thread's stack. frames is room for MA_MAX_FRAMES. */
struct ma_walk fake_walk(struct fake_python *python, uint64_t *frames);

#endif
