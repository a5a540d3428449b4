/* SPDX-License-Identifier: MIT */
/*
 * The tables of this very process in an unwind area, for walks over its own stacks: compiled by the
 * daemon's code from the files that are mapped here. One at a time.
 */
#ifndef MA_TEST_OWN_UNWIND_H
#define MA_TEST_OWN_UNWIND_H

#include <stdint.h>

#include "inject/hook/config.h"

/* Says why, and ends the process. */
__attribute__((format(printf, 1, 2), noreturn)) void own_give_up(const char *format, ...);

/* Makes the area, publishes what is mapped now, and tells of it in the configuration. */
void own_unwind_prepare(struct ma_hook_config *config);

/*
 * Publishes what is mapped now; tables that are there already are used again. wanted_stack: of an
 * area's wants, or 0.
 */
void own_unwind_publish(uint64_t wanted_stack);

/* Makes everything void that walks remember, as a publication does. */
void own_unwind_forget(void);

#endif
