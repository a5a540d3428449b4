/* SPDX-License-Identifier: MIT */
/* A program that embeds Python without being one: look_embedding LIBPYTHON loads it, starts it,
 * says its version, and waits for its input to be closed. */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char byte;
	void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
	if (!library)
		return 2;
	void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
	const char *(*version)(void) = (const char *(*)(void))dlsym(library, "Py_GetVersion");
	if (!initialize || !version)
		return 3;
	initialize(0);
	printf("%s\n", version());
	fflush(stdout);
	return read(0, &byte, 1) < 0;
}
