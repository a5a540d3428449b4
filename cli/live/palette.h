/* SPDX-License-Identifier: MIT */
/* What things look like on the screen, by what they are, in as many colours as there are. */
#ifndef MA_CLI_LIVE_PALETTE_H
#define MA_CLI_LIVE_PALETTE_H

/* How many colours a terminal has. */
enum ma_colors { MA_COLORS_NONE, MA_COLORS_16, MA_COLORS_256, MA_COLORS_DIRECT };

enum { MA_FLAME_SHADES = 8 };

enum ma_role {
	MA_ROLE_PLAIN,
	MA_ROLE_STRONG,
	MA_ROLE_FAINT,
	MA_ROLE_GOOD,
	MA_ROLE_WARN,
	MA_ROLE_BAD,
	MA_ROLE_KEY,    /* of the keyboard */
	MA_ROLE_TAB,    /* the view that is shown */
	MA_ROLE_HEADS,  /* of columns */
	MA_ROLE_SORTED, /* the one that is sorted by */
	MA_ROLE_PICKED, /* the row that the next key is about */
	MA_ROLE_FUNCTION,
	MA_ROLE_FILE,
	MA_ROLE_RSS,    /* in graphs */
	MA_ROLE_LIVE,   /* in graphs */
	MA_ROLE_RATE,   /* in graphs */
	MA_ROLE_FREEZE, /* banners */
	MA_ROLE_ALARM,
	MA_ROLE_FRAME, /* of boxes */
	MA_ROLE_FLAME, /* and MA_FLAME_SHADES - 1 more */
	MA_ROLES = MA_ROLE_FLAME + MA_FLAME_SHADES,
};

/* Tells ncurses about the colours; after its start. */
void ma_palette_init(enum ma_colors colors);

/* Attributes and colour pair of a role. */
void ma_palette_look(enum ma_role role, unsigned *attributes, int *pair);

#endif
