/* SPDX-License-Identifier: MIT */
/* The choice of a terminal's description; see terminfo.h. */
#include "cli/live/terminfo.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Terminals by how their names begin. What is not here behaves like xterm in all that we use. */
static const struct {
	const char *prefix, *entry;
} families[] = {
	{"dumb", NULL},
	{"unknown", NULL},
	{"tmux", "tmux-256color"},
	{"screen-256", "screen-256color"},
	{"screen", "screen"},
	{"linux", "linux"},
	{"vt", "vt100"},
	{"", "xterm-256color"},
};

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const struct ma_terminfo *find(const char *name)
{
	for (size_t i = 0; name && i < ma_terminfo_entry_count; i++)
		if (strcmp(ma_terminfo_entries[i].name, name) == 0)
			return &ma_terminfo_entries[i];
	return NULL;
}

const struct ma_terminfo *ma_terminfo_nearest(const char *term)
{
	const struct ma_terminfo *own = find(term);
	if (own)
		return own;
	for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
		if (begins(term, families[i].prefix))
			return find(families[i].entry);
	return NULL;
}

const struct ma_terminfo *ma_terminfo_direct(const char *term)
{
	static const char *const like_xterm[] = {"xterm", "alacritty", "foot", "wezterm", "konsole",
						 "gnome", "vte",       "st-",  "ghostty"};
	const char *promise = getenv("COLORTERM");
	if (!promise || (strcmp(promise, "truecolor") != 0 && strcmp(promise, "24bit") != 0))
		return NULL;
	/* tmux calls itself screen, too; GNU screen inherits a promise that it does not keep. */
	if (begins(term, "tmux") || (begins(term, "screen") && getenv("TMUX")))
		return find("memattach-tmux");
	for (size_t i = 0; i < sizeof like_xterm / sizeof like_xterm[0]; i++)
		if (begins(term, like_xterm[i]))
			return find("memattach-xterm");
	return NULL;
}
