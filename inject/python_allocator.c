/* SPDX-License-Identifier: MIT */
#include "inject/python_allocator.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inject/procfs.h"

enum {
	SMALL_REQUEST_BYTES = 512,
	DEBUG_EXTRA_BYTES = 24, /* PYMEM_DEBUG_EXTRA_BYTES: size, and forbidden bytes around */
	READ_BYTES_MAX = 1 << 21,
};

/* Values of PYTHONMALLOC. What is not here keeps Python from starting, or is newer than we are. */
static const struct {
	const char *name;
	uint32_t limit;
} allocators[] = {
	{"pymalloc", SMALL_REQUEST_BYTES},
	{"pymalloc_debug", SMALL_REQUEST_BYTES - DEBUG_EXTRA_BYTES},
	{"debug", SMALL_REQUEST_BYTES - DEBUG_EXTRA_BYTES},
	{"malloc", 0},
	{"malloc_debug", 0},
	{"mimalloc", 0},
	{"mimalloc_debug", 0},
};

/* The value of a variable, NULL when it is not set or empty. */
static const char *variable(const char *environment, size_t bytes, const char *name)
{
	size_t length = strlen(name);

	for (size_t at = 0; at < bytes; at += strnlen(environment + at, bytes - at) + 1)
		if (bytes - at > length + 1 && !memcmp(environment + at, name, length) &&
		    environment[at + length] == '=')
			return environment[at + length + 1] ? environment + at + length + 1 : NULL;
	return NULL;
}

struct options {
	bool ignore_environment; /* -E or -I */
	bool development;        /* -X dev */
};

/* Reads the interpreter's own options: those before the script, -c or -m. */
static struct options read_options(const char *arguments, size_t bytes)
{
	struct options options = {0};
	size_t at = strnlen(arguments, bytes) + 1;

	while (at < bytes && arguments[at] == '-' && arguments[at + 1]) {
		const char *option = arguments + at;
		char last = option[strlen(option) - 1];
		const char *value = option + strlen(option) + 1;

		if (strpbrk(option, "EI") && option[1] != 'X' && option[1] != 'W' &&
		    option[1] != '-')
			options.ignore_environment = true;
		if (!strcmp(option, "-Xdev") ||
		    (!strcmp(option, "-X") && value < arguments + bytes && !strcmp(value, "dev")))
			options.development = true;
		if (option[1] != '-' && strpbrk(option, "cm") && option[1] != 'X' &&
		    option[1] != 'W')
			break;
		at += strlen(option) + 1;
		if ((last == 'X' || last == 'W') && at < bytes)
			at += strlen(arguments + at) + 1;
	}
	return options;
}

/* libpython3.11d.so.1.0, python3.11d, python3.12-dbg: Py_DEBUG, where debug allocators are the
 * rule.
 */
static bool is_debug_build(const char *python_path)
{
	const char *at = strstr(python_path, "python3.");

	if (!at)
		return false;
	at += strlen("python3.");
	at += strspn(at, "0123456789");
	return *at == 'd' || !strncmp(at, "-dbg", 4);
}

uint32_t ma_python_small_limit_from(const char *environment, size_t environment_bytes,
				    const char *arguments, size_t arguments_bytes,
				    const char *python_path)
{
	struct options options = read_options(arguments, arguments_bytes);
	const char *chosen = NULL;

	if (!options.ignore_environment) {
		chosen = variable(environment, environment_bytes, "PYTHONMALLOC");
		if (variable(environment, environment_bytes, "PYTHONDEVMODE"))
			options.development = true;
	}
	if (!chosen)
		chosen = options.development || is_debug_build(python_path) ? "debug" : "pymalloc";
	for (size_t i = 0; i < sizeof(allocators) / sizeof(allocators[0]); i++)
		if (!strcmp(allocators[i].name, chosen))
			return allocators[i].limit;
	return SMALL_REQUEST_BYTES;
}

uint32_t ma_python_small_limit(pid_t pid, const char *python_path)
{
	char path[40];
	char *environment = NULL, *arguments = NULL;
	size_t environment_bytes = 0, arguments_bytes = 0;
	uint32_t limit;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	ma_proc_slurp(path, READ_BYTES_MAX, &environment, &environment_bytes, NULL);
	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	ma_proc_slurp(path, READ_BYTES_MAX, &arguments, &arguments_bytes, NULL);
	limit = ma_python_small_limit_from(
		environment ? environment : "", environment ? environment_bytes : 0,
		arguments ? arguments : "", arguments ? arguments_bytes : 0, python_path);
	free(environment);
	free(arguments);
	return limit;
}
