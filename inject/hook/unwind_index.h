/* SPDX-License-Identifier: MIT */
/*
 * What the unwind area says about a pc or a stack address, read with every check that keeps a
 * reader of it safe (proto/unwind.h): offsets against the mapping, and the sequence of the index
 * after whatever was read from it. Any thread.
 */
#ifndef MA_HOOK_UNWIND_INDEX_H
#define MA_HOOK_UNWIND_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/unwind.h"

/* An index in force, and what tells that it still is. */
struct ma_index_view {
	const struct ma_unwind_area *area;
	uint64_t bytes;
	const struct ma_unwind_index *index;
	uint32_t sequence;
	uint32_t generation; /* differs between indexes, for 2^17 publications */
};

enum ma_index_answer {
	MA_INDEX_FOUND,
	MA_INDEX_UNKNOWN, /* the index has no such module, or stack */
	MA_INDEX_CHANGED, /* the index is no longer in force, or makes no sense */
};

/* Takes the index that is in force; false when there is none. */
bool ma_index_view_take(const struct ma_unwind_area *area, uint64_t bytes,
			struct ma_index_view *view);

/* Is it still in force? To be asked after reading, before believing. */
bool ma_index_view_holds(const struct ma_index_view *view);

/*
 * The module that holds pc, and the rule there: MA_CFA_NONE when its table has none, or there is no
 * table yet.
 */
enum ma_index_answer ma_index_find_rule(const struct ma_index_view *view, uint64_t pc,
					struct ma_unwind_rule *rule, uint32_t *module);

/* The stack that holds an address. */
enum ma_index_answer ma_index_find_stack(const struct ma_index_view *view, uint64_t address,
					 struct ma_unwind_stack *stack);

#endif
