/* SPDX-License-Identifier: MIT */
/*
 * What a walk needs of /proc/PID/maps (proc(5)): which files' code is mapped where, and where
 * threads have their stacks. Names in it are the target's and may be anything.
 */
#ifndef MA_DAEMON_UNWIND_MAPS_H
#define MA_DAEMON_UNWIND_MAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/unwind.h"

/* An executable mapping of a file, or the vDSO. Neighbours that show one piece of a file are one.
 */
struct ma_unwind_mapped {
	uint64_t start, end;
	uint64_t offset, inode;
	uint64_t head;    /* where the file's beginning is mapped, below; 0: nowhere */
	const char *path; /* into the text; without " (deleted)" and the kernel's escapes */
};

/* Zero-initialise; ma_unwind_maps_fini in the end. May be used for one text after another. */
struct ma_unwind_maps {
	struct ma_unwind_mapped *mapped; /* ascending */
	uint32_t mapped_count;
	struct ma_unwind_stack *stacks; /* ascending */
	uint32_t stack_count;
	uint64_t interpreter_inode; /* of the file at interpreter_base, 0 = none */
};

/* What else is known. */
struct ma_unwind_maps_hints {
	uint64_t interpreter_base; /* an address in the interpreter's object */
	uint64_t stack;            /* an address that a thread has for a stack; 0 = none */
};

/*
 * Parses a text, which is changed and must live as long as the paths. A stack is private memory of
 * no file: the one named so, what has a guard page below it, and what holds the hint. Up to
 * MA_UNWIND_MODULES and MA_UNWIND_STACKS are kept. false: no memory.
 */
bool ma_unwind_maps_parse(struct ma_unwind_maps *maps, char *text,
			  const struct ma_unwind_maps_hints *hints);
void ma_unwind_maps_fini(struct ma_unwind_maps *maps);

#endif
