/* SPDX-License-Identifier: MIT */
/*
 * Taking the hook out of a target: switch off, restore, prove that nobody is inside, unload, unmap.
 * Everything is found from the thunk page, or, where an attach died early, from the resident
 * mapping itself, so that no memory of who attached is needed.
 */
#ifndef MA_INJECT_REMOVAL_H
#define MA_INJECT_REMOVAL_H

#include <stdbool.h>

#include "inject/attach.h"
#include "inject/session.h"
#include "proto/error.h"

/* Is there anything in the target besides an idle thunk page? */
bool ma_removal_needed(const struct ma_session *session);

/*
 * Removes what is there, within about 3 s. Returns 0 also when the unloading could not be proven
 * safe (result->lingering) and when there was nothing (was_attached false). MA_ERR_UNSAFE when the
 * hook inside is of a version that we do not understand, or no safe point was found. Tracer, not
 * holding.
 */
int ma_remove(struct ma_session *session, struct ma_detach_result *result, struct ma_error *error);

/*
 * Waits until nobody is in any of the ranges, into which nothing leads any more. The first
 * plain_tries take every word on a stack for a way back into them. Adds to result the
 * tries and pauses; 0 also when that could not be shown until the deadline: result->lingering.
 * Tracer, not holding.
 */
int ma_removal_prove(struct ma_session *session, const struct ma_range *ranges, int count,
		     uint32_t plain_tries, uint64_t deadline_ns, struct ma_detach_result *result,
		     struct ma_error *error);

#endif
