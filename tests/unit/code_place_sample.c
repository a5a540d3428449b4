/* SPDX-License-Identifier: MIT */
/* A library whose addresses test_code_place looks up. Lines that the test knows are marked. */
#include <stdlib.h>
#include <string.h>

__attribute__((always_inline)) static inline void *grab(size_t bytes)
{
	char *memory = malloc(bytes); /* MARK inner */
	if (memory)
		memset(memory, 1, bytes);
	return memory;
}

__attribute__((noinline)) void *sample_outer(size_t bytes)
{
	void *memory = grab(bytes + 1); /* MARK outer */
	__asm__ volatile("" : : "r"(memory));
	return memory;
}

/* Code that no symbol covers: it has none of its own, and the one before has a size. */
__asm__(".text\n"
	".globl sample_before\n.type sample_before,@function\n"
	"sample_before:\n ret\n.size sample_before, .-sample_before\n"
	".fill 64, 1, 0x90\n"
	".globl sample_after\n.type sample_after,@function\n"
	"sample_after:\n ret\n.size sample_after, .-sample_after\n");
