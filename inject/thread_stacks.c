/* SPDX-License-Identifier: MIT */
/* allocate_stack() of glibc's nptl/allocatestack.c: the control block is at the stack's upper end.
 */
#include "inject/thread_stacks.h"

#include <sys/mman.h>

int ma_thread_stacks_find(const struct ma_maps *maps, uint64_t sp, uint64_t thread_pointer,
			  bool first, struct ma_range stacks[MA_THREAD_STACKS])
{
	const struct ma_map *here = ma_maps_find(maps, sp);
	const struct ma_map *normal =
		first ? ma_maps_find_name(maps, "[stack]", 0) : ma_maps_find(maps, thread_pointer);

	if (!here)
		return 0;
	stacks[0] = (struct ma_range){sp, here->end};
	if (thread_pointer > sp && thread_pointer < here->end) {
		stacks[0].end = thread_pointer;
		if (!first)
			return 1;
	}
	if (!normal || !(normal->protection & PROT_WRITE) || (first && normal == here))
		return 1;
	stacks[1] = (struct ma_range){normal->start, first ? normal->end : thread_pointer};
	return 2;
}
