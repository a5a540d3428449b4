/* SPDX-License-Identifier: MIT */
/*
 * A target's memory made of one block of ours, and a small ELF module to put into it: for readers
 * that must survive whatever a target holds.
 */
#ifndef MA_TESTS_FAKE_MEMORY_H
#define MA_TESTS_FAKE_MEMORY_H

#include <stdint.h>

#include "inject/remote_memory.h"

struct fake_memory {
	uint8_t *bytes; /* borrowed */
	size_t size;
	uint64_t base;       /* target address of bytes[0] */
	size_t largest_read; /* 0 = any; else reads come back shorter, as the kernel may do */
	unsigned long reads;
};

/* A memory whose addresses [base, base + size) are the block; everything else is EFAULT. */
struct ma_target_memory fake_memory_open(struct fake_memory *fake);

enum { FAKE_MODULE_BYTES = 0x3000 };

/* Where the parts of a made-up module lie, for tests that damage them. */
struct fake_module {
	size_t programs; /* offsets from the ELF header */
	size_t dynamic;
	size_t symbols;
	size_t strings;
	size_t gnu_hash;
	size_t gnu_chain;
	size_t sysv_hash;
	size_t versions;
	size_t verdef;
};

enum fake_hash { FAKE_GNU_HASH, FAKE_SYSV_HASH };

/*
 * Writes a shared library of three segments (r-x, rw-, and r--) whose soname is libfake.so.1 and
 * which defines alpha (a function, FAKE_1 hidden and FAKE_2 default), beta (data), gamma (an
 * IFUNC), delta (undefined, with a value: a canonical PLT entry), epsilon (TLS). base is where it
 * will be loaded; relocated: the dynamic section's pointers carry the base, as glibc leaves them.
 */
struct fake_module fake_module_write(uint8_t bytes[FAKE_MODULE_BYTES], uint64_t base,
				     enum fake_hash hash, int relocated);

/* Values of the symbols, from the module's base. */
enum { FAKE_ALPHA_OLD = 0x800, FAKE_ALPHA = 0x840, FAKE_BETA = 0x1c00, FAKE_GAMMA = 0x880 };

#endif
