/* SPDX-License-Identifier: MIT */
/*
 * Descriptions of terminals that travel with the program, for machines without a terminfo database
 * (an image that the static file was copied into), and for colours of 24 bits, which few databases
 * describe. ncurses takes them through TERMINFO=b64:..., an inline description (terminfo(5)).
 */
#ifndef MA_CLI_LIVE_TERMINFO_H
#define MA_CLI_LIVE_TERMINFO_H

#include <stddef.h>

struct ma_terminfo {
	const char *name;        /* what to call the terminal: in place of $TERM */
	const char *description; /* for $TERMINFO */
};

/* All there are: made by scripts/gen-terminfo at the build. */
extern const struct ma_terminfo ma_terminfo_entries[];
extern const size_t ma_terminfo_entry_count;

/* The one for a terminal called `term`, or the nearest; NULL: for that none will do. */
const struct ma_terminfo *ma_terminfo_nearest(const char *term);

/* The one for 24-bit colours, if $COLORTERM promises those for a terminal of a kind that we know;
 * NULL: none. */
const struct ma_terminfo *ma_terminfo_direct(const char *term);

#endif
