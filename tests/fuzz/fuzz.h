/* SPDX-License-Identifier: MIT */
/* What a fuzz target is: one function that takes any bytes and must not misbehave. */
#ifndef MA_TESTS_FUZZ_H
#define MA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Called by libFuzzer, or by replay.c for each file of the corpus. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program with a stack trace when something that must hold does not. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			__builtin_trap();                                                          \
	} while (0)

#endif
