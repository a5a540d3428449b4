/* SPDX-License-Identifier: MIT */
/*
 * Accounts for Python's object allocator the simple way: a request of at most 512 bytes is
 * pymalloc's. Counts how often a realloc was taken for that and was served by the layer below.
 * Loaded into an interpreter; its symbols are declared here, so that one file serves every version.
 */
#include <stddef.h>
#include <stdint.h>

struct table {
	void *context;
	void *(*malloc)(void *context, size_t bytes);
	void *(*calloc)(void *context, size_t count, size_t size);
	void *(*realloc)(void *context, void *block, size_t bytes);
	void (*free)(void *context, void *block);
};
enum { RAW, MEM, OBJ, SMALL = 512 };

extern void PyMem_GetAllocator(int domain, struct table *table);
extern void PyMem_SetAllocator(int domain, struct table *table);

void simple_install(void);
void simple_remove(void);
uint64_t simple_claimed(void);
uint64_t simple_wrong(void);

static struct table mem, object, raw;
static uint64_t claimed, wrong;
static int below;

static void *account(const struct table *next, void *context, void *block, size_t bytes)
{
	void *result;

	below = 0;
	result = next->realloc(context, block, bytes);
	if (block && bytes <= SMALL) {
		claimed++;
		wrong += (uint64_t)below;
	}
	return result;
}

static void *mem_realloc(void *context, void *block, size_t bytes)
{
	return account(&mem, context, block, bytes);
}

static void *object_realloc(void *context, void *block, size_t bytes)
{
	return account(&object, context, block, bytes);
}

static void *raw_realloc(void *context, void *block, size_t bytes)
{
	below = 1;
	return raw.realloc(context, block, bytes);
}

void simple_install(void)
{
	struct table changed;

	PyMem_GetAllocator(MEM, &mem);
	PyMem_GetAllocator(OBJ, &object);
	PyMem_GetAllocator(RAW, &raw);
	changed = raw;
	changed.realloc = raw_realloc;
	PyMem_SetAllocator(RAW, &changed);
	changed = mem;
	changed.realloc = mem_realloc;
	PyMem_SetAllocator(MEM, &changed);
	changed = object;
	changed.realloc = object_realloc;
	PyMem_SetAllocator(OBJ, &changed);
}

void simple_remove(void)
{
	PyMem_SetAllocator(MEM, &mem);
	PyMem_SetAllocator(OBJ, &object);
	PyMem_SetAllocator(RAW, &raw);
}

uint64_t simple_claimed(void)
{
	return claimed;
}

uint64_t simple_wrong(void)
{
	return wrong;
}
