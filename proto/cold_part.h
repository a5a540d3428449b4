/* SPDX-License-Identifier: MIT */
/*
 * The other half of a function that a compiler has split: what it expects to run seldom lies
 * elsewhere (".cold"), and in a stripped object no symbol covers it. Told by what the code itself
 * does: a function jumps into the middle of another one only if that is a part of it.
 */
#ifndef MA_PROTO_COLD_PART_H
#define MA_PROTO_COLD_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses from start up to end. */
struct ma_code_range {
	uint64_t start, end;
};

/* An object's code, in a process or in a file. */
struct ma_code_source {
	/* Copies all of the bytes at an address; 0, else they are not there. */
	int (*read)(void *context, uint64_t address, void *buffer, size_t bytes);
	void *context;
	uint64_t unwind_header; /* address of .eh_frame_hdr; 0: none */
};

/*
 * Finds the part that `function` (by its symbol) jumps into. The ranges of functions are those of
 * the object's unwind table; that of the last one ends with its first page of code. Returns false
 * when there is none, or it cannot be told.
 */
bool ma_cold_part_find(const struct ma_code_source *source, const struct ma_code_range *function,
		       struct ma_code_range *part);

#endif
