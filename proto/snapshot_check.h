/* SPDX-License-Identifier: MIT */
/*
 * Checks of an unpacked profile: every index, string, id and sum, before anybody follows or adds
 * them. Inside proto/ only; the rest of the program calls ma_snapshot_parse.
 */
#ifndef MA_PROTO_SNAPSHOT_CHECK_H
#define MA_PROTO_SNAPSHOT_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/snapshot.h"

/*
 * Checks everything outside field 1000, and strings and floating-point numbers inside it. With cut,
 * what refers to something missing is taken out instead of refused; *dropped_samples counts those.
 * 0 or MA_ERR_PROTOCOL.
 */
int ma_snapshot_check(Memattach__Profile *profile, bool cut, size_t *dropped_samples,
		      struct ma_error *error);

/*
 * Judges field 1000: sets state->heap_trusted and heap_reason. What belongs to single samples
 * (site, series) is taken out of a field that is not trusted. heap_cut: it was there in part only.
 * MA_ERR_PROTOCOL when a trusted one has an index out of range.
 */
int ma_snapshot_check_heap(Memattach__Profile *profile, bool heap_cut,
			   struct ma_snapshot_state *state, struct ma_error *error);

#endif
