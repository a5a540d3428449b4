/* SPDX-License-Identifier: MIT */
/* What people press and click, without the terminal's dialects; and what the live view makes of it.
 */
#ifndef MA_CLI_LIVE_KEYS_H
#define MA_CLI_LIVE_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ma_key_kind {
	MA_KEY_NONE,
	MA_KEY_SIGN, /* a sign was typed */
	MA_KEY_UP,
	MA_KEY_DOWN,
	MA_KEY_LEFT,
	MA_KEY_RIGHT,
	MA_KEY_PAGE_UP,
	MA_KEY_PAGE_DOWN,
	MA_KEY_HOME,
	MA_KEY_END,
	MA_KEY_ENTER,
	MA_KEY_BACKSPACE,
	MA_KEY_DELETE,
	MA_KEY_ESCAPE,
	MA_KEY_TAB,
	MA_KEY_BACK_TAB,
	MA_KEY_CLICK,
	MA_KEY_WHEEL_UP,
	MA_KEY_WHEEL_DOWN,
	MA_KEY_CLOSED, /* there is no keyboard any more */
};

struct ma_key {
	enum ma_key_kind kind;
	uint32_t sign; /* of MA_KEY_SIGN; control keys too: Ctrl-L is 12 */
	int row;       /* of clicks and wheel */
	int column;
};

enum ma_command_key {
	MA_DO_NOTHING,
	MA_DO_UP,
	MA_DO_DOWN,
	MA_DO_LEFT,
	MA_DO_RIGHT,
	MA_DO_PAGE_UP,
	MA_DO_PAGE_DOWN,
	MA_DO_HOME,
	MA_DO_END,
	MA_DO_ENTER,
	MA_DO_BACK,
	MA_DO_ESCAPE,
	MA_DO_VIEW, /* the first; the views follow each other */
	MA_DO_VIEW_LAST = MA_DO_VIEW + 4,
	MA_DO_NEXT_VIEW,
	MA_DO_PREVIOUS_VIEW,
	MA_DO_FILTER,
	MA_DO_SORT,
	MA_DO_REVERSE,
	MA_DO_REFERENCE,
	MA_DO_REFERENCE_ATTACH,
	MA_DO_FREEZE,
	MA_DO_THREAD,
	MA_DO_OPEN_HEAVIEST,
	MA_DO_CLOSE_ALL,
	MA_DO_NATIVE,
	MA_DO_DUMP,
	MA_DO_HELP,
	MA_DO_REDRAW,
	MA_DO_QUIT,
	MA_DO_DETACH,
};

/* What a key means where nothing is being typed. */
enum ma_command_key ma_keys_command(const struct ma_key *key);

/* A line of the help: what to press, and what for. */
struct ma_keys_help {
	const char *keys;
	const char *what;
};
extern const struct ma_keys_help ma_keys_helps[];
extern const size_t ma_keys_help_count;

#endif
