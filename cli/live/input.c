/* SPDX-License-Identifier: MIT */
/* From ncurses' keys to ours; see input.h. */
#include "cli/live/input.h"

#include <ncurses.h>

enum {
	/* Of the sequence that clicks begin with; above all codes of ncurses'. */
	CODE_MOUSE = KEY_MAX + 1,
	REST_MS = 50, /* for the rest of the sequence */
};

/* What the parts of a mouse sequence mean (xterm's control sequences, "SGR" mode 1006). */
enum { MOUSE_LEFT = 0, MOUSE_WHEEL_UP = 64, MOUSE_WHEEL_DOWN = 65, MOUSE_MODIFIERS = 4 | 8 | 16 };

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

/* Behind ESC [ <: button ; column ; row, and M when it was pressed, m when it was let go. */
static void read_mouse(struct ma_key *key)
{
	int numbers[3] = {0}, at = 0;
	wint_t sign = 0;
	timeout(REST_MS);
	while (get_wch(&sign) == OK && ((sign >= '0' && sign <= '9') || sign == ';')) {
		if (sign == ';')
			at++;
		else if (at < 3 && numbers[at] < 100000)
			numbers[at] = numbers[at] * 10 + (int)(sign - '0');
	}
	nodelay(stdscr, TRUE);
	if (sign != 'M' || at != 2)
		return;
	key->column = numbers[1] - 1;
	key->row = numbers[2] - 1;
	switch (numbers[0] & ~MOUSE_MODIFIERS) {
	case MOUSE_LEFT:
		key->kind = MA_KEY_CLICK;
		break;
	case MOUSE_WHEEL_UP:
		key->kind = MA_KEY_WHEEL_UP;
		break;
	case MOUSE_WHEEL_DOWN:
		key->kind = MA_KEY_WHEEL_DOWN;
		break;
	default:
		break;
	}
}

void ma_input_begin(void)
{
	/* ncurses makes one event of clicks that come at once, and knows no column beyond 223 on
	 * terminals that are described by their older mode. */
	define_key(NULL, KEY_MOUSE);
	define_key("\033[<", CODE_MOUSE);
}

bool ma_input_read(struct ma_key *key)
{
	wint_t code;
	int result = get_wch(&code);
	*key = (struct ma_key){.kind = MA_KEY_NONE};
	if (result == ERR)
		return false;
	if (result == KEY_CODE_YES) {
		if (code == CODE_MOUSE)
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
