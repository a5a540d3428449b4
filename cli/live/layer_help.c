/* SPDX-License-Identifier: MIT */
/* The keys, in a box. */
#include "cli/live/frame.h"

enum { BOX_COLUMNS = 58, KEY_COLUMNS = 17 };

void ma_draw_help(struct ma_frame *frame)
{
	int rows = (int)ma_keys_help_count + 2;
	if (rows > frame->rows)
		rows = frame->rows;
	int top = (frame->rows - rows) / 2, left = (frame->columns - BOX_COLUMNS) / 2;
	ma_canvas_box(top, left, rows, BOX_COLUMNS, "keys (any key closes)");
	for (int i = 0; i < rows - 2; i++) {
		ma_canvas_text(top + 1 + i, left + 2, KEY_COLUMNS - 1, MA_ROLE_KEY,
			       ma_keys_helps[i].keys);
		ma_canvas_text(top + 1 + i, left + 2 + KEY_COLUMNS, BOX_COLUMNS - KEY_COLUMNS - 3,
			       MA_ROLE_PLAIN, ma_keys_helps[i].what);
	}
}
