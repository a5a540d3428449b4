/* SPDX-License-Identifier: MIT */
/*
 * Allocator hooks as memray, ddtrace and others install them, for tests/targets/odd.py: the tables
 * of Python's OBJ and MEM domains get functions that count and pass on to those that were there.
 * Called by ctypes. Python's functions are looked up at run time, so that one file serves every
 * version.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))

enum { MEM = 1, OBJECT = 2, DOMAINS = 3 };

struct allocator { /* PyMemAllocatorEx, the same since 3.5 */
	void *context;
	void *(*malloc)(void *context, size_t bytes);
	void *(*calloc)(void *context, size_t count, size_t bytes);
	void *(*realloc)(void *context, void *block, size_t bytes);
	void (*free)(void *context, void *block);
};

typedef void table_fn(int domain, struct allocator *allocator);

EXPORT int wrappers_install(void);
EXPORT void wrappers_remove(void);
EXPORT uint64_t wrappers_calls(void);

static struct allocator before[DOMAINS];
static uint64_t calls;

static void *wrap_malloc(void *context, size_t bytes)
{
	const struct allocator *next = context;

	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	return next->malloc(next->context, bytes);
}

static void *wrap_calloc(void *context, size_t count, size_t bytes)
{
	const struct allocator *next = context;

	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	return next->calloc(next->context, count, bytes);
}

static void *wrap_realloc(void *context, void *block, size_t bytes)
{
	const struct allocator *next = context;

	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	return next->realloc(next->context, block, bytes);
}

static void wrap_free(void *context, void *block)
{
	const struct allocator *next = context;

	next->free(next->context, block);
}

static table_fn *table_function(const char *name)
{
	return (table_fn *)(uintptr_t)dlsym(RTLD_DEFAULT, name);
}

int wrappers_install(void)
{
	table_fn *get = table_function("PyMem_GetAllocator");
	table_fn *set = table_function("PyMem_SetAllocator");

	if (!get || !set)
		return -1;
	for (int domain = MEM; domain <= OBJECT; domain++) {
		struct allocator ours = {&before[domain], wrap_malloc, wrap_calloc, wrap_realloc,
					 wrap_free};

		get(domain, &before[domain]);
		set(domain, &ours);
	}
	return 0;
}

void wrappers_remove(void)
{
	table_fn *set = table_function("PyMem_SetAllocator");

	for (int domain = MEM; domain <= OBJECT; domain++)
		set(domain, &before[domain]);
}

uint64_t wrappers_calls(void)
{
	return __atomic_load_n(&calls, __ATOMIC_RELAXED);
}
