/* SPDX-License-Identifier: MIT */
/*
 * Checks on what is read out of the shared area. The memory belongs to the target, which may be
 * hostile or broken and may write while we read: every function here copies a record first and
 * checks the copy; the caller uses the copy only.
 */
#ifndef MA_PROTO_AREA_CHECK_H
#define MA_PROTO_AREA_CHECK_H

#include <stddef.h>
#include <stdint.h>

#include "proto/area.h"
#include "proto/error.h"

/* Copies and checks page 0 against the size of the memfd. 0 or MA_ERR_PROTOCOL with the reason. */
int ma_area_check_ident(const struct ma_area *area, uint64_t area_bytes,
			struct ma_area_ident *ident, struct ma_error *error);

/*
 * Takes up to max events from a ring into `events` and stores the tail. Returns how many, or
 * MA_ERR_PROTOCOL when head and tail cannot both be right (the tail is then set to the head, and
 * *lost counts what was skipped).
 */
int ma_ring_take(struct ma_ring *ring, struct ma_event *events, int max, uint64_t *lost);

/* Is this copied event well-formed? (kind, address, size, domain, site below MA_SITES) */
int ma_event_check(const struct ma_event *event);

/*
 * Copies stack `id`: head into *stack, up to MA_MAX_FRAMES frames. Returns 0, or MA_ERR_PROTOCOL
 * when the id or a count points outside the log's used part, or a native frame (proto/unwind.h) is
 * in no module or before a Python one.
 */
int ma_stack_copy(const struct ma_tables *tables, uint32_t id, struct ma_stack *stack,
		  uint64_t frames[MA_MAX_FRAMES]);

/*
 * Leaves the Python frames of a copied stack, without MA_FRAME_ENTRY: for those who show no native
 * ones.
 */
void ma_stack_keep_python(struct ma_stack *stack, uint64_t frames[MA_MAX_FRAMES]);

/* Copies site `id` (1 .. site_count). 0 or MA_ERR_PROTOCOL. */
int ma_site_copy(const struct ma_tables *tables, uint32_t id, struct ma_site *site);

/*
 * Copies code record `id` into buffer (bytes: its room): struct ma_code, then its data, unpadded.
 * Returns the bytes used, or MA_ERR_PROTOCOL when id, sizes, kinds or counts are not consistent.
 */
int64_t ma_code_copy(const struct ma_tables *tables, uint32_t id, void *buffer, size_t bytes);

/* Copies entry [bucket][way] of the live set; 1 = an allocation, 0 = nothing there (or changing).
 */
int ma_live_copy(const struct ma_live *live, uint32_t bucket, int way, uint64_t *address,
		 struct ma_live_entry *entry);

#endif
