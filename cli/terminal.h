/* SPDX-License-Identifier: MIT */
/* What the program's own streams are: terminals or not, how wide, in colour or not. */
#ifndef MA_CLI_TERMINAL_H
#define MA_CLI_TERMINAL_H

#include <stdbool.h>

#include "cli/options.h"
#include "cli/text.h"

enum { MA_TERMINAL_LEAST = 60, MA_TERMINAL_USUAL = 100, MA_TERMINAL_MOST = 300 };

struct ma_terminal {
	bool out; /* stdout is a terminal */
	bool err;
	bool color;     /* of what goes to stdout */
	unsigned width; /* columns of stdout, MA_TERMINAL_LEAST .. MA_TERMINAL_MOST */
};

/* NO_COLOR (no-color.org), TERM=dumb and COLUMNS are honoured. */
struct ma_terminal ma_terminal_look(enum ma_color color);

/* How a piece of text is set off, where colours are on. */
enum ma_style {
	MA_STYLE_PLAIN,
	MA_STYLE_HEAD,  /* what a block is about */
	MA_STYLE_FAINT, /* of less weight */
	MA_STYLE_GOOD,
	MA_STYLE_WARN,
	MA_STYLE_BAD,
};

/* Adds the codes that switch a style on and off again; nothing without colour. */
void ma_style_begin(struct ma_text *text, bool color, enum ma_style style);
void ma_style_end(struct ma_text *text, bool color, enum ma_style style);

#endif
