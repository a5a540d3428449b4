/* SPDX-License-Identifier: MIT */
/* A preloaded library that defines part of the allocator and wraps dlopen, as profilers do. */
#include <stddef.h>
#include <unistd.h>

void *malloc(size_t bytes);
void free(void *block);
void *dlopen(const char *path, int mode);

/* Never freed: enough for a program that prints one line. */
void *malloc(size_t bytes)
{
	static _Alignas(16) char pool[1 << 20];
	static size_t used;
	size_t at = used;
	used += (bytes + 15) & ~(size_t)15;
	return used <= sizeof pool ? pool + at : NULL;
}

void free(void *block)
{
	(void)block;
}

void *dlopen(const char *path, int mode)
{
	(void)path;
	(void)mode;
	return NULL;
}
