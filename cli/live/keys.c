/* SPDX-License-Identifier: MIT */
/* The tables of keys; see keys.h. */
#include "cli/live/keys.h"

enum { CONTROL_B = 2, CONTROL_F = 6, CONTROL_L = 12 };

static const struct {
	uint32_t sign;
	enum ma_command_key command;
} signs[] = {
	{'k', MA_DO_UP},        {'j', MA_DO_DOWN},          {'h', MA_DO_LEFT},
	{'l', MA_DO_RIGHT},     {CONTROL_B, MA_DO_PAGE_UP}, {CONTROL_F, MA_DO_PAGE_DOWN},
	{'g', MA_DO_HOME},      {'G', MA_DO_END},           {'1', MA_DO_VIEW},
	{'2', MA_DO_VIEW + 1},  {'3', MA_DO_VIEW + 2},      {'4', MA_DO_VIEW + 3},
	{'5', MA_DO_VIEW + 4},  {'/', MA_DO_FILTER},        {'s', MA_DO_SORT},
	{'S', MA_DO_REVERSE},   {'r', MA_DO_REFERENCE},     {'R', MA_DO_REFERENCE_ATTACH},
	{' ', MA_DO_FREEZE},    {'t', MA_DO_THREAD},        {'e', MA_DO_OPEN_HEAVIEST},
	{'c', MA_DO_CLOSE_ALL}, {'n', MA_DO_NATIVE},        {'d', MA_DO_DUMP},
	{'?', MA_DO_HELP},      {CONTROL_L, MA_DO_REDRAW},  {'q', MA_DO_QUIT},
	{'Q', MA_DO_DETACH},
};

static const enum ma_command_key by_kind[] = {
	[MA_KEY_UP] = MA_DO_UP,
	[MA_KEY_DOWN] = MA_DO_DOWN,
	[MA_KEY_LEFT] = MA_DO_LEFT,
	[MA_KEY_RIGHT] = MA_DO_RIGHT,
	[MA_KEY_PAGE_UP] = MA_DO_PAGE_UP,
	[MA_KEY_PAGE_DOWN] = MA_DO_PAGE_DOWN,
	[MA_KEY_HOME] = MA_DO_HOME,
	[MA_KEY_END] = MA_DO_END,
	[MA_KEY_ENTER] = MA_DO_ENTER,
	[MA_KEY_BACKSPACE] = MA_DO_BACK,
	[MA_KEY_ESCAPE] = MA_DO_ESCAPE,
	[MA_KEY_TAB] = MA_DO_NEXT_VIEW,
	[MA_KEY_BACK_TAB] = MA_DO_PREVIOUS_VIEW,
	[MA_KEY_CLOSED] = MA_DO_QUIT,
};

enum ma_command_key ma_keys_command(const struct ma_key *key)
{
	if (key->kind != MA_KEY_SIGN)
		return (size_t)key->kind < sizeof by_kind / sizeof by_kind[0] ? by_kind[key->kind]
									      : MA_DO_NOTHING;
	for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
		if (signs[i].sign == key->sign)
			return signs[i].command;
	return MA_DO_NOTHING;
}

const struct ma_keys_help ma_keys_helps[] = {
	{"1 2 3 4 5  Tab", "sites, tree, flame, threads, time"},
	{"arrows  h j k l", "move; PgUp PgDn, Home g, End G"},
	{"Enter", "sites: stacks; tree: open; flame: zoom"},
	{"Backspace  Esc", "back; Esc also clears the filter"},
	{"/", "filter by a regular expression"},
	{"s  S", "sort by the next column; turn round"},
	{"r  R", "changes count from now; from attach"},
	{"Space", "freeze the picture (tracking goes on)"},
	{"t  n", "one thread or all; native frames or none"},
	{"e  c", "tree: open the heaviest; close all"},
	{"d  Ctrl-L", "dump a snapshot; draw anew"},
	{"q  Q", "leave (tracking goes on); and detach"},
	{"mouse", "click views, headings, rows; wheel"},
};

const size_t ma_keys_help_count = sizeof ma_keys_helps / sizeof ma_keys_helps[0];
