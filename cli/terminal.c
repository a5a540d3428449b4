/* SPDX-License-Identifier: MIT */
/* Terminals, their width and their colours; see terminal.h. */
#include "cli/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static unsigned width_of_stdout(bool terminal)
{
	struct winsize size;
	const char *columns = getenv("COLUMNS");
	long width = 0;
	if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		width = size.ws_col;
	if (!width && columns)
		width = strtol(columns, NULL, 10);
	if (width <= 0)
		return MA_TERMINAL_USUAL;
	if (width < MA_TERMINAL_LEAST)
		return MA_TERMINAL_LEAST;
	return width > MA_TERMINAL_MOST ? MA_TERMINAL_MOST : (unsigned)width;
}

struct ma_terminal ma_terminal_look(enum ma_color color)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	struct ma_terminal terminal = {
		.out = isatty(STDOUT_FILENO) == 1,
		.err = isatty(STDERR_FILENO) == 1,
	};
	bool plain = (no_color && no_color[0]) || !term || strcmp(term, "dumb") == 0;
	terminal.color =
		color == MA_COLOR_ALWAYS || (color == MA_COLOR_AUTO && terminal.out && !plain);
	terminal.width = width_of_stdout(terminal.out);
	return terminal;
}

static const char *const style_codes[] = {
	[MA_STYLE_PLAIN] = "",        [MA_STYLE_HEAD] = "\033[1m",  [MA_STYLE_FAINT] = "\033[2m",
	[MA_STYLE_GOOD] = "\033[32m", [MA_STYLE_WARN] = "\033[33m", [MA_STYLE_BAD] = "\033[31m",
};

void ma_style_begin(struct ma_text *text, bool color, enum ma_style style)
{
	if (color)
		ma_text_add(text, style_codes[style]);
}

void ma_style_end(struct ma_text *text, bool color, enum ma_style style)
{
	if (color && style != MA_STYLE_PLAIN)
		ma_text_add(text, "\033[0m");
}
