/* SPDX-License-Identifier: MIT */
/* Terminal set-up by ncurses; see screen.h. */
#include "cli/live/screen.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <unistd.h>

#include "cli/live/charset.h"
#include "cli/live/guard.h"
#include "cli/live/palette.h"
#include "cli/live/terminfo.h"

#undef columns /* a macro of term.h */

enum { ESCAPE_MS = 25 }; /* a lone Escape is told from a key's sequence after this */

static SCREEN *terminal_in_use;
static FILE *keys;

static int open_keys(void)
{
	return isatty(STDIN_FILENO) ? dup(STDIN_FILENO) : open("/dev/tty", O_RDWR | O_CLOEXEC);
}

static const char *term_name(void)
{
	const char *term = getenv("TERM");
	return term && term[0] ? term : "dumb";
}

bool ma_screen_possible(void)
{
	if (!isatty(STDOUT_FILENO) || !ma_terminfo_nearest(term_name()))
		return false;
	int fd = open_keys();
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Starts ncurses with a description of ours. The environment is as before afterwards. */
static SCREEN *start_with(const struct ma_terminfo *terminfo)
{
	if (!terminfo)
		return NULL;
	const char *value = getenv("TERMINFO");
	char *before = value ? strdup(value) : NULL;
	setenv("TERMINFO", terminfo->description, 1);
	SCREEN *screen = newterm(terminfo->name, stdout, keys);
	if (before)
		setenv("TERMINFO", before, 1);
	else
		unsetenv("TERMINFO");
	free(before);
	return screen;
}

/* Is the terminal's own description there? newterm must not be asked: it talks to the user. */
static bool is_described(const char *term)
{
	int status = 0;
	bool found = setupterm(term, STDOUT_FILENO, &status) == OK;
	if (found)
		del_curterm(cur_term);
	return found;
}

static bool wants_colors(enum ma_color color)
{
	const char *no_color = getenv("NO_COLOR");
	return color == MA_COLOR_ALWAYS || (color == MA_COLOR_AUTO && !(no_color && no_color[0]));
}

static SCREEN *start(bool colored, bool *direct)
{
	const char *term = term_name();
	SCREEN *screen = colored ? start_with(ma_terminfo_direct(term)) : NULL;
	*direct = screen != NULL;
	if (!screen && is_described(term))
		screen = newterm(term, stdout, keys);
	return screen ? screen : start_with(ma_terminfo_nearest(term));
}

static void init_colors(bool colored, bool direct)
{
	enum ma_colors colors = MA_COLORS_NONE;
	if (colored && direct)
		colors = MA_COLORS_DIRECT;
	else if (colored && has_colors())
		colors = tigetnum("colors") >= 256 ? MA_COLORS_256 : MA_COLORS_16;
	ma_palette_init(colors);
}

/* Clicks and the wheel are told of, in the form that knows no bounds (cli/live/input.c); or not. */
static void switch_mouse(bool on)
{
	const char *described = tigetstr("kmous");
	if (!described || described == (char *)-1)
		return;
	fputs(on ? "\033[?1000h\033[?1006h" : "\033[?1006l\033[?1000l", stdout);
	fflush(stdout);
}

/* Where the text that puts the terminal back is collected. */
static struct ma_guard_terminal *collecting;

static int collect(int byte)
{
	if (collecting->bytes < sizeof collecting->text)
		collecting->text[collecting->bytes++] = (char)byte;
	return byte;
}

/* Prepares what a signal handler can write to switch off all that was switched on. */
static void prepare_guard(struct ma_guard_terminal *terminal)
{
	static const char *const names[] = {"sgr0", "op", "cnorm", "rmkx", "rmcup"};
	static const char no_mouse[] = "\033[?1006l\033[?1000l";
	*terminal = (struct ma_guard_terminal){.fd = STDOUT_FILENO, .modes = terminal->modes};
	collecting = terminal;
	if (tigetstr("kmous") && tigetstr("kmous") != (char *)-1)
		for (const char *at = no_mouse; *at; at++)
			collect(*at);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		char *text = tigetstr(names[i]);
		if (text && text != (char *)-1)
			tputs(text, 1, collect);
	}
}

static void read_size(struct ma_screen *screen)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col) {
		screen->rows = size.ws_row;
		screen->columns = size.ws_col;
	} else {
		screen->rows = LINES;
		screen->columns = COLS;
	}
}

static int fail(struct ma_error *error, const char *answer)
{
	ma_error_set(error, MA_ERR_FAILED, 0, "taking over the terminal (TERM=%.60s)", term_name());
	ma_error_answer(error, "%s", answer);
	ma_error_remedy(error, "Set TERM to what the terminal is, e.g. TERM=xterm-256color; or "
			       "pipe the output (| cat) for a plain table.");
	return MA_ERR_FAILED;
}

int ma_screen_open(struct ma_screen *screen, enum ma_color color, struct ma_error *error)
{
	struct ma_guard_terminal terminal = {0};
	bool direct, colored = wants_colors(color);
	int fd = open_keys();
	*screen = (struct ma_screen){.utf8 = ma_charset_wants_utf8(), .key_fd = fd};
	keys = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (!keys || tcgetattr(STDOUT_FILENO, &terminal.modes) < 0)
		return fail(error, strerror(errno));
	ma_charset_use_utf8(screen->utf8);
	terminal_in_use = start(colored, &direct);
	if (!terminal_in_use) {
		fclose(keys);
		return fail(error, "there is no description of it that would do");
	}
	prepare_guard(&terminal);
	screen->signal_fd = ma_guard_begin(&terminal);
	/* Whoever calls exit() leaves a usable terminal, too. */
	atexit(ma_guard_restore);
	init_colors(colored, direct);
	cbreak();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(ESCAPE_MS);
	curs_set(0);
	typeahead(-1);
	switch_mouse(true);
	read_size(screen);
	resizeterm(screen->rows, screen->columns);
	return 0;
}

bool ma_screen_resize(struct ma_screen *screen)
{
	int rows = screen->rows, columns = screen->columns;
	read_size(screen);
	if (rows == screen->rows && columns == screen->columns)
		return false;
	resizeterm(screen->rows, screen->columns);
	return true;
}

void ma_screen_suspend(struct ma_screen *screen)
{
	switch_mouse(false);
	endwin();
	kill(getpid(), SIGSTOP);
	switch_mouse(true);
	/* Going on: the terminal may have another size, and shows something else. */
	clearok(curscr, TRUE);
	ma_screen_resize(screen);
	refresh();
}

void ma_screen_repaint(struct ma_screen *screen)
{
	(void)screen;
	clearok(curscr, TRUE);
}

void ma_screen_close(struct ma_screen *screen)
{
	switch_mouse(false);
	endwin();
	ma_guard_end();
	delscreen(terminal_in_use);
	terminal_in_use = NULL;
	fclose(keys);
	keys = NULL;
	screen->key_fd = -1;
}
