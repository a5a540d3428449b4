/* SPDX-License-Identifier: MIT */
/* The functions of inject/hook/site.h for tests without an interpreter: one site for all. */
#ifndef MA_TESTS_HOOK_FAKE_SITE_H
#define MA_TESTS_HOOK_FAKE_SITE_H

#include <stdint.h>

#include "proto/area.h"

enum { FAKE_SITE = 7 };

/* What happens on this thread while a site is looked up; NULL = nothing. */
extern void (*fake_during_site)(void);

/* Of the last call of ma_hook_code_freed. */
extern uint64_t fake_code_freed;

#endif
