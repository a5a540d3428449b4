/* SPDX-License-Identifier: MIT */
/*
 * A program with a Python inside: `embedding LIBPYTHON` loads that library when it is told to, and
 * runs the Python code that it reads, line by line. Two lines are for itself: "start" initialises
 * an interpreter, "finish" finalises it; both can come again. Each line is answered with "ok".
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef void start_fn(int signals);
typedef int finish_fn(void);
typedef int run_fn(const char *code, void *flags);

int main(int count, char **words)
{
	static char line[4096];
	void *library = count > 1 ? dlopen(words[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
	start_fn *start;
	finish_fn *finish;
	run_fn *run;

	if (!library) {
		fprintf(stderr, "embedding: %s\n", count > 1 ? dlerror() : "which libpython?");
		return 2;
	}
	start = (start_fn *)(uintptr_t)dlsym(library, "Py_InitializeEx");
	finish = (finish_fn *)(uintptr_t)dlsym(library, "Py_FinalizeEx");
	run = (run_fn *)(uintptr_t)dlsym(library, "PyRun_SimpleStringFlags");
	if (!start || !finish || !run)
		return 3;
	for (;;) {
		int failed = 0;

		puts("ok");
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		if (!strcmp(line, "start\n"))
			start(0);
		else if (!strcmp(line, "finish\n"))
			failed = finish();
		else
			failed = run(line, NULL);
		if (failed)
			return 4;
	}
}
