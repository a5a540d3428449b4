/* SPDX-License-Identifier: MIT */
/*
 * A Python extension that holds memory of its own: hold(n) takes n bytes from malloc, release()
 * frees all of it, held() says how many bytes. Its calls of malloc and free go through its own
 * relocations, so a profiler that misses objects loaded after it attached misses all of this.
 *
 * It declares the few things that it needs of Python's stable ABI (PEP 384; unchanged from 3.8 to
 * 3.15 in builds with the GIL) instead of including Python.h, so that one file serves every
 * version.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct object;

struct method {
	const char *name;
	struct object *(*function)(struct object *self, struct object *argument);
	int flags;
	const char *doc;
};

struct module_definition {
	ptrdiff_t references; /* PyModuleDef_Base: object head, init, index, copy */
	void *type;
	struct object *(*init)(void);
	ptrdiff_t index;
	struct object *copy;
	const char *name;
	const char *doc;
	ptrdiff_t size;
	struct method *methods;
	void *slots;
	void *traverse;
	void *clear;
	void *free;
};

enum { METHOD_NO_ARGUMENTS = 4, METHOD_ONE_ARGUMENT = 8, ABI_VERSION = 3 };

extern struct object *PyModule_Create2(struct module_definition *definition, int abi);
extern size_t PyLong_AsSize_t(struct object *number);
extern struct object *PyLong_FromSize_t(size_t number);

struct object *PyInit_hold_module(void);

struct block {
	struct block *next;
};

static struct block *blocks;
static size_t held_bytes;

static struct object *hold(struct object *self, struct object *argument)
{
	size_t bytes = PyLong_AsSize_t(argument);
	struct block *block;

	(void)self;
	if (bytes < sizeof(*block) || bytes > (size_t)1 << 40)
		return PyLong_FromSize_t(0);
	block = malloc(bytes);
	if (!block)
		return PyLong_FromSize_t(0);
	memset(block, 1, bytes);
	block->next = blocks;
	blocks = block;
	held_bytes += bytes;
	return PyLong_FromSize_t(bytes);
}

static struct object *release(struct object *self, struct object *argument)
{
	(void)self;
	(void)argument;
	while (blocks) {
		struct block *next = blocks->next;

		free(blocks);
		blocks = next;
	}
	held_bytes = 0;
	return PyLong_FromSize_t(0);
}

static struct object *held(struct object *self, struct object *argument)
{
	(void)self;
	(void)argument;
	return PyLong_FromSize_t(held_bytes);
}

static struct method methods[] = {
	{"hold", hold, METHOD_ONE_ARGUMENT, "takes n bytes from malloc"},
	{"release", release, METHOD_NO_ARGUMENTS, "frees all of them"},
	{"held", held, METHOD_NO_ARGUMENTS, "bytes held"},
	{NULL, NULL, 0, NULL},
};

static struct module_definition definition = {
	.references = 1,
	.name = "hold_module",
	.size = -1,
	.methods = methods,
};

struct object *PyInit_hold_module(void)
{
	return PyModule_Create2(&definition, ABI_VERSION);
}
