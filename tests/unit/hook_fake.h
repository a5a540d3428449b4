/* SPDX-License-Identifier: MIT */
/*
 * The hook's globals and the functions of inject/hook/site.h for tests of the entry points, without
 * an interpreter: an area of the test's own, made-up allocators behind the hook, one site for all.
 */
#ifndef MA_TESTS_HOOK_FAKE_H
#define MA_TESTS_HOOK_FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/hook/config.h"
#include "proto/area.h"

enum { FAKE_SITE = 7, FAKE_SMALL_LIMIT = 512, FAKE_EVENTS = 2 * MA_RING_EVENTS };

/* What happens on this thread while a site is looked up; NULL = nothing. */
extern void (*fake_during_site)(void);

/* Of the last call of ma_hook_code_freed. */
extern uint64_t fake_code_freed;

/* What fake_take has taken. */
extern struct ma_event fake_events[FAKE_EVENTS];

/* A new area of so many bytes, the gate open, every byte sampled, nothing behind the hook, and this
 * thread unknown to it. False: no memory. */
bool fake_begin(uint32_t mode, uint64_t area_bytes);

/* The function behind the hook of `fn`. */
void fake_next(enum ma_fn fn, void (*function)(void));

/* Takes all events, and checks each; how many there were. */
int fake_take(void);

#endif
