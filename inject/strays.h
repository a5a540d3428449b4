/* SPDX-License-Identifier: MIT */
/*
 * What an attach leaves in a target when its tracer is killed half-way: mappings that no thunk page
 * knows of, and file descriptors. They are recognised by the names of their memfds and by what is
 * in them.
 */
#ifndef MA_INJECT_STRAYS_H
#define MA_INJECT_STRAYS_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/session.h"
#include "proto/error.h"

/* The configuration's address in a resident mapping that is there, 0 = none: its loader may have
 * run or be running. */
uint64_t ma_strays_resident(const struct ma_session *session);

/* Are there mappings of ours that never came into use (a loader without orders, an area or a thunk
 * page that nobody knows), or open files? Only to be asked when no hook and no loader is there any
 * more. */
bool ma_strays_exist(const struct ma_session *session);

/* Unmaps and closes those. Holding a thread. */
int ma_strays_remove(struct ma_session *session, struct ma_error *error);

#endif
