/* SPDX-License-Identifier: MIT */
/*
 * Python's allocator tables: our thunks in, and out again. Called by ma_hook_start and
 * ma_hook_stop, without the GIL. Only function words are changed, `ctx` is kept: a thread that
 * reads the table meanwhile gets old or new words, and any mixture of them works.
 */
#ifndef MA_HOOK_PYTHON_TABLES_H
#define MA_HOOK_PYTHON_TABLES_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Puts thunks into the tables of OBJ, MEM and the arenas, as far as pymalloc serves them. Returns a
 * bit for each table left alone (config.h, tables_foreign) because somebody's allocator that is in
 * it may lead to our thunk already.
 */
__attribute__((visibility("hidden"))) uint32_t ma_python_tables_install(void);

/*
 * Opens or closes the tables of OBJ and MEM: lets their word `malloc` hold our thunk, or the
 * interpreter's function, where it holds the other of the two. Any thread, between install and
 * restore, where blocks are promoted (promote.h).
 */
__attribute__((visibility("hidden"))) void ma_python_tables_turn(bool open);

/* Puts back what was there, where all words are our thunks; returns a bit for each other table. */
__attribute__((visibility("hidden"))) uint32_t ma_python_tables_restore(void);

#endif
