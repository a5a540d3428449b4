/* SPDX-License-Identifier: MIT */
/* The ring's steps done wrongly, one precaution less each: test_ring_model.c must see them fail. */
#ifndef MA_TEST_RING_CARELESS_H
#define MA_TEST_RING_CARELESS_H

#include "inject/hook/ring.h"

/* Looks and takes in two steps. */
struct ma_ring *careless_claim(struct ma_area *area, uint32_t tid, uint32_t preferred,
			       bool left_behind);
/* Publishes before it writes. */
void careless_push(struct ma_area *area, struct ma_ring *ring, const struct ma_event *event);
/* Gives room back before it has read. */
int careless_take(struct ma_ring *ring, struct ma_event *events, int max, uint64_t *lost);

#endif
