/* SPDX-License-Identifier: MIT */
/*
 * Which allocator CPython uses for small objects, as far as its start-up says: pymalloc serves
 * requests up to 512 bytes unless PYTHONMALLOC, development mode or a debug build say otherwise
 * (Doc/using/cmdline.rst; Objects/obmalloc.c of 3.8 to 3.14).
 */
#ifndef MA_INJECT_PYTHON_ALLOCATOR_H
#define MA_INJECT_PYTHON_ALLOCATOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Requests of the OBJ and MEM domains up to this many bytes are served by pymalloc itself; 0: it is
 * not in use. python_path: the object that holds the interpreter. */
uint32_t ma_python_small_limit(pid_t pid, const char *python_path);

/* The same from the bytes of /proc/PID/environ and cmdline (NUL-separated). Pure. */
uint32_t ma_python_small_limit_from(const char *environment, size_t environment_bytes,
				    const char *arguments, size_t arguments_bytes,
				    const char *python_path);

#endif
