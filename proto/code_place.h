/* SPDX-License-Identifier: MIT */
/*
 * What a file's symbols and debug information say of an address in its code, by libdw: for the
 * tracer, which looks at a live process, and for the daemon, which does it in a child of its own.
 * A name is only ever that of a symbol that covers the address, never a neighbour's.
 *
 * C++ and Rust names are demangled by libiberty's cp-demangle.c and rust-demangle.c (LGPL with the
 * permission to link them into any program), without parameters: the line says which overload it
 * is.
 */
#ifndef MA_PROTO_CODE_PLACE_H
#define MA_PROTO_CODE_PLACE_H

#include <elfutils/libdwfl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	MA_CODE_LINES = 17, /* inlined functions beyond that are left out, outer ones first */
	MA_CODE_NAME_BYTES = 1024, /* longest name, cut with "..." */
	MA_CODE_TEXT_BYTES = 2 * MA_CODE_LINES * MA_CODE_NAME_BYTES,
};

/* A function and the line in it. Strings are the module's or the place's. */
struct ma_code_line {
	const char *function; /* as people know it */
	const char *linkage;  /* as the linker knows it; NULL: the same */
	const char *file;     /* NULL: not known */
	int line;             /* 0: not known */
	int first_line;       /* of the function; 0: not known */
};

struct ma_code_place {
	/* Innermost first. The last is the function that the symbol names, those before it are
	 * compiled into it. */
	struct ma_code_line line[MA_CODE_LINES];
	int count; /* 0: no symbol covers the address */
	char text[MA_CODE_TEXT_BYTES];
	size_t used;
};

/* What is remembered between look-ups, for any number of modules. */
struct ma_code_names;

/* lines: files and lines too, not names alone. NULL: out of memory. Is to be destroyed before the
 * modules that it was asked about. */
struct ma_code_names *ma_code_names_create(bool lines);
void ma_code_names_destroy(struct ma_code_names *names);

/* Looks up an address (a return address is to be given less 1) of a module. Slow the first time:
 * files are read. Borrowed until the next call. */
const struct ma_code_place *ma_code_names_find(struct ma_code_names *names, Dwfl_Module *module,
					       uint64_t address);

/* "foo::bar" for a mangled name, cut to the room, or false: it is not one. Pure. */
bool ma_code_demangle(const char *mangled, char *name, size_t room);

#endif
