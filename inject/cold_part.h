/* SPDX-License-Identifier: MIT */
/*
 * The other half of a function that a compiler has split: what it expects to run seldom lies
 * elsewhere (".cold"), and in a stripped object no symbol covers it. Told by what the code itself
 * does: a function jumps into the middle of another one only if that is a part of it.
 */
#ifndef MA_INJECT_COLD_PART_H
#define MA_INJECT_COLD_PART_H

#include <stdbool.h>

#include "inject/elf_memory.h"
#include "inject/remote_memory.h"
#include "inject/safe_point.h"

/*
 * Finds the part that `function` (by its symbol) jumps into. The ranges of functions are those of
 * the module's unwind table. Returns false when there is none, or it cannot be told.
 */
bool ma_cold_part_find(const struct ma_target_memory *memory, const struct ma_module *module,
		       const struct ma_range *function, struct ma_range *part);

#endif
