/* SPDX-License-Identifier: MIT */
/* The table of looks. Where there are no colours, attributes alone must tell things apart. */
#include "cli/live/palette.h"

#include <ncurses.h>
#include <stdbool.h>

/* One look at each number of colours: 24-bit, of 256, of 16. -1: the terminal's own. */
struct shade {
	int direct, of_256, of_16;
};

#define OWN                                                                                        \
	{                                                                                          \
		-1, -1, -1                                                                         \
	}
#define SHADE(d, x, a)                                                                             \
	{                                                                                          \
		0x##d, x, a                                                                        \
	}

struct look {
	struct shade text, ground;
	attr_t attributes;       /* with colours */
	attr_t plain_attributes; /* without */
};

static const struct look looks[MA_ROLES] = {
	[MA_ROLE_PLAIN] = {OWN, OWN, 0, 0},
	[MA_ROLE_STRONG] = {OWN, OWN, A_BOLD, A_BOLD},
	[MA_ROLE_FAINT] = {SHADE(8a8a8a, 245, COLOR_WHITE), OWN, 0, A_DIM},
	[MA_ROLE_GOOD] = {SHADE(5faf5f, 71, COLOR_GREEN), OWN, 0, 0},
	[MA_ROLE_WARN] = {SHADE(d7af5f, 179, COLOR_YELLOW), OWN, 0, A_BOLD},
	[MA_ROLE_BAD] = {SHADE(ff5f5f, 203, COLOR_RED), OWN, A_BOLD, A_BOLD},
	[MA_ROLE_KEY] = {SHADE(87afd7, 110, COLOR_CYAN), OWN, 0, A_BOLD},
	[MA_ROLE_TAB] = {SHADE(ffffff, 231, COLOR_WHITE), SHADE(005f87, 24, COLOR_BLUE), A_BOLD,
			 A_REVERSE},
	[MA_ROLE_HEADS] = {SHADE(8a8a8a, 245, COLOR_WHITE), OWN, A_UNDERLINE, A_UNDERLINE},
	[MA_ROLE_SORTED] = {SHADE(87afd7, 110, COLOR_CYAN), OWN, A_UNDERLINE | A_BOLD,
			    A_UNDERLINE | A_BOLD},
	[MA_ROLE_PICKED] = {SHADE(ffffff, 231, COLOR_WHITE), SHADE(303f5f, 237, COLOR_BLUE), 0,
			    A_REVERSE},
	[MA_ROLE_FUNCTION] = {SHADE(afd787, 150, COLOR_GREEN), OWN, 0, 0},
	[MA_ROLE_FILE] = {SHADE(9e9e9e, 247, COLOR_WHITE), OWN, 0, 0},
	[MA_ROLE_RSS] = {SHADE(87afd7, 110, COLOR_CYAN), OWN, 0, 0},
	[MA_ROLE_LIVE] = {SHADE(d7875f, 173, COLOR_YELLOW), OWN, 0, 0},
	[MA_ROLE_RATE] = {SHADE(af87d7, 140, COLOR_MAGENTA), OWN, 0, 0},
	[MA_ROLE_FREEZE] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(87afd7, 110, COLOR_CYAN), 0,
			    A_REVERSE},
	[MA_ROLE_ALARM] = {SHADE(ffffff, 231, COLOR_WHITE), SHADE(af0000, 124, COLOR_RED), A_BOLD,
			   A_REVERSE | A_BOLD},
	[MA_ROLE_FRAME] = {SHADE(87afd7, 110, COLOR_CYAN), OWN, 0, 0},
	/* Warm colours that neighbours differ in; dark text stands on all of them. */
	[MA_ROLE_FLAME + 0] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(f2b36f, 215, COLOR_YELLOW), 0,
			       0},
	[MA_ROLE_FLAME + 1] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(e8885a, 209, COLOR_RED), 0,
			       A_REVERSE},
	[MA_ROLE_FLAME + 2] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(f0cf73, 221, COLOR_YELLOW), 0,
			       0},
	[MA_ROLE_FLAME + 3] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(dd7d6b, 174, COLOR_RED), 0,
			       A_REVERSE},
	[MA_ROLE_FLAME + 4] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(eec49a, 223, COLOR_WHITE), 0,
			       0},
	[MA_ROLE_FLAME + 5] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(d99a3d, 179, COLOR_YELLOW), 0,
			       A_REVERSE},
	[MA_ROLE_FLAME + 6] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(f09a7a, 216, COLOR_RED), 0,
			       0},
	[MA_ROLE_FLAME + 7] = {SHADE(1c1c1c, 234, COLOR_BLACK), SHADE(e3b04b, 178, COLOR_YELLOW), 0,
			       A_REVERSE},
};

static enum ma_colors colors_in_use;

static int pick(const struct shade *shade)
{
	return colors_in_use == MA_COLORS_DIRECT ? shade->direct
	       : colors_in_use == MA_COLORS_256  ? shade->of_256
						 : shade->of_16;
}

void ma_palette_init(enum ma_colors colors)
{
	colors_in_use = colors;
	if (colors == MA_COLORS_NONE)
		return;
	start_color();
	use_default_colors();
	/* Pair 0 is the terminal's own. */
	for (int role = 1; role < MA_ROLES; role++)
		init_extended_pair(role, pick(&looks[role].text), pick(&looks[role].ground));
}

void ma_palette_look(enum ma_role role, unsigned *attributes, int *pair)
{
	bool colored = colors_in_use != MA_COLORS_NONE;
	*attributes = colored ? looks[role].attributes : looks[role].plain_attributes;
	*pair = colored ? (int)role : 0;
}
