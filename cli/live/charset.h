/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 on the terminal without a locale. ncurses asks the C library how wide characters are
 * written, and the C library asks a locale, which an image without locale files has none of. So the
 * functions that ncurses calls for that are replaced at the link (-Wl,--wrap, cli/CMakeLists.txt)
 * by ones that speak UTF-8 by themselves, and measure columns as cli/width.h does.
 */
#ifndef MA_CLI_LIVE_CHARSET_H
#define MA_CLI_LIVE_CHARSET_H

#include <stdbool.h>

/* Does the person's environment (LC_ALL, LC_CTYPE, LANG: the first that is set) ask for UTF-8? */
bool ma_charset_wants_utf8(void);

/* From now on the replaced functions speak UTF-8; before, and with false, they are the C library's.
 */
void ma_charset_use_utf8(bool utf8);

#endif
