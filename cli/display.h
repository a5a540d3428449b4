/* SPDX-License-Identifier: MIT */
/*
 * Strings from a target on their way to a terminal: control characters, direction overrides and
 * invalid UTF-8 become visible escapes, and lengths are counted in columns.
 */
#ifndef MA_CLI_DISPLAY_H
#define MA_CLI_DISPLAY_H

#include <stddef.h>
#include <stdint.h>

#include "cli/text.h"

/*
 * Reads one code point of the terminated string at *cursor and moves the cursor behind it. Returns
 * 1, or 0 for a byte that is not part of valid UTF-8 (*code_point is then that byte, and the cursor
 * moves by one). The empty string must not be passed.
 */
int ma_display_decode(const char **cursor, uint32_t *code_point);

/* Adds the string, made harmless: \n, \xNN or \uNNNN for what a terminal would obey. */
void ma_display_escape(struct ma_text *text, const char *string);

/* Columns that a harmless (escaped) string takes. */
unsigned ma_display_columns(const char *escaped);

/* Adds the escaped string, cut to `columns`: its end with "..." in front (paths), or its beginning
 * with "..." behind (commands, names). Returns the columns it took. */
unsigned ma_display_add_end(struct ma_text *text, const char *escaped, unsigned columns);
unsigned ma_display_add_start(struct ma_text *text, const char *escaped, unsigned columns);

/*
 * The part of a Python file name that people know it by: behind site-packages/, dist-packages/ or
 * lib/python3.N/, else all of it. Borrowed from path.
 */
const char *ma_display_path(const char *path);

/* A command line as people call it: without the directory of the program. Borrowed. */
const char *ma_display_command(const char *command);

/* 1 when the file is the program's own, 0 when it is the standard library, an installed package or
 * frozen code. */
int ma_display_own_code(const char *path);

#endif
