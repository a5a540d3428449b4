/* SPDX-License-Identifier: MIT */
/* From ncurses' keys to ours; see input.h. */
#include "cli/live/input.h"

#include <ncurses.h>

enum { SIGN_BACKSPACE = 8, SIGN_ESCAPE = 27, SIGN_DELETE = 127 };

static const struct {
	wint_t code;
	enum ma_key_kind kind;
} codes[] = {
	{KEY_UP, MA_KEY_UP},         {KEY_DOWN, MA_KEY_DOWN},
	{KEY_LEFT, MA_KEY_LEFT},     {KEY_RIGHT, MA_KEY_RIGHT},
	{KEY_PPAGE, MA_KEY_PAGE_UP}, {KEY_NPAGE, MA_KEY_PAGE_DOWN},
	{KEY_HOME, MA_KEY_HOME},     {KEY_END, MA_KEY_END},
	{KEY_ENTER, MA_KEY_ENTER},   {KEY_BACKSPACE, MA_KEY_BACKSPACE},
	{KEY_DC, MA_KEY_DELETE},     {KEY_BTAB, MA_KEY_BACK_TAB},
};

static const struct {
	wint_t sign;
	enum ma_key_kind kind;
} signs[] = {
	{'\r', MA_KEY_ENTER},
	{'\n', MA_KEY_ENTER},
	{'\t', MA_KEY_TAB},
	{SIGN_BACKSPACE, MA_KEY_BACKSPACE},
	{SIGN_DELETE, MA_KEY_BACKSPACE},
	{SIGN_ESCAPE, MA_KEY_ESCAPE},
};

static void read_mouse(struct ma_key *key)
{
	MEVENT event;
	if (getmouse(&event) != OK)
		return;
	key->row = event.y;
	key->column = event.x;
	if (event.bstate & BUTTON1_PRESSED)
		key->kind = MA_KEY_CLICK;
	else if (event.bstate & BUTTON4_PRESSED)
		key->kind = MA_KEY_WHEEL_UP;
	else if (event.bstate & BUTTON5_PRESSED)
		key->kind = MA_KEY_WHEEL_DOWN;
}

bool ma_input_read(struct ma_key *key)
{
	wint_t code;
	int result = get_wch(&code);
	*key = (struct ma_key){.kind = MA_KEY_NONE};
	if (result == ERR)
		return false;
	if (result == KEY_CODE_YES) {
		if (code == KEY_MOUSE)
			read_mouse(key);
		for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
			if (codes[i].code == code)
				key->kind = codes[i].kind;
		return true;
	}
	key->kind = MA_KEY_SIGN;
	key->sign = (uint32_t)code;
	for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
		if (signs[i].sign == code)
			key->kind = signs[i].kind;
	return true;
}
