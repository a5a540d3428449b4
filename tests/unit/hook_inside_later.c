/* SPDX-License-Identifier: MIT */
/*
 * A library that hook_inside_target.py loads after the hook is in. It is built twice, with lazy
 * binding and with -z now, relro. Its slots hold all that a pass must tell apart: calls through the
 * PLT, an address in a data word, a data word with somebody else's function.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

void *later_call(size_t bytes);
void *later_word(size_t bytes);
void *later_duplicate(size_t bytes);
void *later_other(size_t bytes);
void *later_aligned(size_t bytes);
void *later_map(size_t bytes);
void later_free(void *block);
void later_unmap(void *region, size_t bytes);
uint64_t later_other_word(void);

static void *other(size_t bytes)
{
	return calloc(1, bytes);
}

static void *(*volatile word)(size_t) = malloc;
static void *(*volatile other_word)(size_t) = other;

void *later_call(size_t bytes)
{
	return malloc(bytes);
}

void *later_word(size_t bytes)
{
	return word(bytes);
}

/* libc calls malloc for it, through a slot of its own. */
void *later_duplicate(size_t bytes)
{
	char text[256];

	memset(text, 'x', sizeof text);
	text[bytes < sizeof text ? bytes - 1 : sizeof text - 1] = 0;
	return strdup(text);
}

void *later_other(size_t bytes)
{
	return other_word(bytes);
}

void *later_aligned(size_t bytes)
{
	void *block;

	return posix_memalign(&block, 256, bytes) ? NULL : block;
}

void *later_map(size_t bytes)
{
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void later_free(void *block)
{
	free(block);
}

void later_unmap(void *region, size_t bytes)
{
	munmap(region, bytes);
}

/* Is the other data word as it was? */
uint64_t later_other_word(void)
{
	return other_word == other;
}
