/* SPDX-License-Identifier: MIT */
/*
 * libunwind's remote unwinder, for stacks on which libdw gives up. It reads word by word through
 * ptrace and opens files by the names that the target uses, so the caller must share its root.
 */
#include <libunwind-ptrace.h>

#include "inject/unwinder.h"

void ma_unwinder_walk_ptrace(pid_t tid, struct ma_stack_walk *walk)
{
	unw_addr_space_t space = unw_create_addr_space(&_UPT_accessors, 0);
	void *context = space ? _UPT_create(tid) : NULL;
	unw_cursor_t cursor;

	walk->count = 0;
	walk->complete = false;
	if (context && !unw_init_remote(&cursor, space, context)) {
		int step = 1;

		while (step > 0 && walk->count < MA_WALK_FRAMES) {
			unw_word_t pc;
			int signal_frame = unw_is_signal_frame(&cursor);

			if (unw_get_reg(&cursor, UNW_REG_IP, &pc) || !pc)
				break;
			/* The innermost frame, and one that a signal cut short, are at their pc. */
			walk->pc[walk->count] = pc - (walk->count > 0 && signal_frame <= 0);
			walk->count++;
			step = unw_step(&cursor);
		}
		walk->complete = step == 0;
	}
	if (context)
		_UPT_destroy(context);
	if (space)
		unw_destroy_addr_space(space);
}
