/* SPDX-License-Identifier: MIT */
/*
 * What call frame information says at one place, as a rule of proto/unwind.h; and the set of the
 * different rules of a table.
 */
#ifndef MA_DAEMON_UNWIND_RULES_H
#define MA_DAEMON_UNWIND_RULES_H

#include <elfutils/libdw.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/unwind.h"

/* The rule that a frame of x86-64 states. What rules cannot say becomes MA_CFA_UNSUPPORTED. */
struct ma_unwind_rule ma_unwind_rule_of(Dwarf_Frame *frame);

/* Zero-initialise, then ma_unwind_rules_init. */
struct ma_unwind_rules {
	struct ma_unwind_rule *rule; /* in the order of their first use; [0] is MA_CFA_NONE */
	uint32_t count;
	uint32_t *slots; /* hash table of 1 + index */
};

/* false: no memory. Compiler's process, as everything here. */
bool ma_unwind_rules_init(struct ma_unwind_rules *rules);
void ma_unwind_rules_fini(struct ma_unwind_rules *rules);

/* Index of a rule, added if it is new; when there are too many, that of MA_CFA_NONE. */
uint16_t ma_unwind_rules_index(struct ma_unwind_rules *rules, const struct ma_unwind_rule *rule);

#endif
