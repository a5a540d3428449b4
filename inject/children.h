/* SPDX-License-Identifier: MIT */
/*
 * Processes that were forked from a target while it was attached: they have our thunks in their
 * slots, switched off by the gate.
 */
#ifndef MA_INJECT_CHILDREN_H
#define MA_INJECT_CHILDREN_H

#include <stdint.h>

#include "inject/maps.h"

/* How many other live processes map the file that `thunks` (a mapping of pid) shows. Processes that
 * run another executable than pid does are not asked: an exec has cleared them. */
uint32_t ma_children_count(pid_t pid, const struct ma_map *thunks);

#endif
