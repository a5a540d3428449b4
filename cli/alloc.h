/* SPDX-License-Identifier: MIT */
/* Allocation for the command line: out of memory ends the program with a sentence and exit code 1.
 */
#ifndef MA_CLI_ALLOC_H
#define MA_CLI_ALLOC_H

#include <stddef.h>

/* Returned-owned, zeroed. */
void *ma_alloc(size_t count, size_t bytes);
void *ma_alloc_grow(void *memory, size_t count, size_t bytes);
char *ma_alloc_string(const char *string);

#endif
