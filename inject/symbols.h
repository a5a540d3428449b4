/* SPDX-License-Identifier: MIT */
/*
 * Names of code addresses of a process, by libdw: function, source file and line, as far as the
 * files say so, opened as the target sees them. What no symbol covers has no name: never that of a
 * neighbour. Does not touch the process.
 */
#ifndef MA_INJECT_SYMBOLS_H
#define MA_INJECT_SYMBOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/inspect.h"

struct ma_symbols;

/* A function that was compiled into another one, and the place in it. */
struct ma_symbol_inline {
	const char *function;
	const char *file; /* NULL = not known */
	int line;
};

/* What is known of an address. Strings are the table's, and live as long. */
struct ma_symbol_place {
	const char *function; /* NULL = no symbol covers it */
	const char *file;     /* NULL = no line information */
	int line;             /* 0 = none; both are the function's own, not an inlined one's */
	const struct ma_symbol_inline *inlined; /* innermost first */
	int inlined_count;
	const char *module;   /* path of the object, "[vdso]"; NULL = in none */
	const char *build_id; /* hexadecimal, "" = none */
	uint64_t offset;      /* in the object, as its file counts addresses */
	bool interpreter;     /* that object holds the interpreter */
};

/* Prepares for the objects of a view (borrowed, must outlive the table). NULL: out of memory. */
struct ma_symbols *ma_symbols_create(const struct ma_view *view);
void ma_symbols_destroy(struct ma_symbols *symbols);

/* Looks an address up; a return address is to be given less 1. Slow the first time: files are
 * read. */
const struct ma_symbol_place *ma_symbols_find(struct ma_symbols *symbols, uint64_t pc);

#endif
