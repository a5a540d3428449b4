/* SPDX-License-Identifier: MIT */
/*
 * Where CPython keeps its allocator tables, told by what the hook has put into them. The daemon
 * looks at these words now and then: somebody else's hook (tracemalloc) may replace ours.
 */
#ifndef MA_INJECT_PYTHON_TABLES_H
#define MA_INJECT_PYTHON_TABLES_H

#include "inject/inspect.h"
#include "proto/area.h"

/* Looks through the writable memory of the interpreter for tables that hold our thunks, and stores
 * their addresses in the area's ident (thunk_code is set there; 0 = not found). */
void ma_python_tables_locate(const struct ma_view *view, struct ma_area *area);

#endif
