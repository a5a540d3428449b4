/* SPDX-License-Identifier: MIT */
/*
 * A program with the symbols of an interpreter and no interpreter: look_fake_python TEXT HEX
 * OFFSETS. TEXT is what Py_GetVersion would have built, HEX the value of Py_Version (0 = none yet),
 * OFFSETS how _PyRuntime begins: none, good, free-threaded, moved.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject/hook/cpython/layout.h"

#define EXPORTED __attribute__((visibility("default")))

EXPORTED uint64_t _PyRuntime[1024] = {1};
EXPORTED unsigned long Py_Version = 0;
static char version_text[250];

EXPORTED const char *Py_GetVersion(void);
EXPORTED void PyMem_GetAllocator(void);
EXPORTED void PyMem_SetAllocator(void);
EXPORTED void PyObject_GetArenaAllocator(void);
EXPORTED void PyObject_SetArenaAllocator(void);
EXPORTED void PyGILState_GetThisThreadState(void);

const char *Py_GetVersion(void)
{
	return version_text;
}

void PyMem_GetAllocator(void)
{
}

void PyMem_SetAllocator(void)
{
}

void PyObject_GetArenaAllocator(void)
{
}

void PyObject_SetArenaAllocator(void)
{
}

void PyGILState_GetThisThreadState(void)
{
}

static void fill_runtime(const char *how)
{
	size_t count;
	const struct ma_py_debug_word *words =
		ma_py_layout_debug_words((uint32_t)(Py_Version >> 16), &count);
	if (strcmp(how, "none") == 0)
		return;
	memcpy(_PyRuntime, MA_PY_DEBUG_COOKIE, 8);
	for (size_t i = 0; i < count; i++)
		_PyRuntime[words[i].at / 8] = (uint64_t)words[i].value << words[i].shift;
	if (strcmp(how, "free-threaded") == 0)
		_PyRuntime[2] = 1;
	if (strcmp(how, "moved") == 0)
		_PyRuntime[words[count - 1].at / 8] += 8;
}

int main(int argc, char **argv)
{
	char byte;
	if (argc != 4)
		return 2;
	snprintf(version_text, sizeof version_text, "%s", argv[1]);
	Py_Version = strtoul(argv[2], NULL, 16);
	fill_runtime(argv[3]);
	printf("ready %s\n", Py_GetVersion());
	fflush(stdout);
	return read(0, &byte, 1) < 0;
}
