/* SPDX-License-Identifier: MIT */
/*
 * Allocation that does not fail. Only the command line may use it: here, having no memory for a
 * page of text means that there is nothing left to do but say so.
 */
#include "cli/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void __attribute__((noreturn)) out_of_memory(void)
{
	static const char sentence[] = "memattach: out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, sentence, sizeof sentence - 1);
	(void)ignored;
	_exit(1);
}

void *ma_alloc(size_t count, size_t bytes)
{
	void *memory = calloc(count ? count : 1, bytes ? bytes : 1);
	if (!memory)
		out_of_memory();
	return memory;
}

void *ma_alloc_grow(void *memory, size_t count, size_t bytes)
{
	if (bytes && count > SIZE_MAX / bytes)
		out_of_memory();
	size_t total = count * bytes;
	void *grown = realloc(memory, total ? total : 1);
	if (!grown)
		out_of_memory();
	return grown;
}

char *ma_alloc_string(const char *string)
{
	char *copy = strdup(string);
	if (!copy)
		out_of_memory();
	return copy;
}
