/* SPDX-License-Identifier: MIT */
/*
 * Passes over the link map: pointing the slots of every loaded object to our thunks, and back. Runs
 * inside libc's dlsym, under the dynamic loader's lock, on the boot thread or on whichever thread
 * of the target loaded something (pass_entry.c).
 */
#ifndef MA_HOOK_PASS_H
#define MA_HOOK_PASS_H

#include "inject/hook/config.h"

/*
 * Runs a pass of this kind; results go to the configuration and the counters. A PATCH pass leaves
 * objects alone that an earlier one has dealt with.
 */
__attribute__((visibility("hidden"))) void ma_pass_run(enum ma_pass kind);

/* Forgets which objects were dealt with: the next PATCH pass looks at all of them. */
__attribute__((visibility("hidden"))) void ma_pass_forget(void);

#endif
