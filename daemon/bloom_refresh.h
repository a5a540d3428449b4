/* SPDX-License-Identifier: MIT */
/*
 * Keeps the hook's filter selective. Bits are only ever set by the hook, so after many samples the
 * filter would let every free through. The daemon now and then makes the generation that is not in
 * use anew from the live set and the code map, and switches over.
 *
 * Why nothing is lost: the hook puts an address into the live set (or code map) first and sets its
 * bits in both generations afterwards. If its bits came before our clearing, the address was in the
 * live set before our scan, which sets them again; if they came after, they stand.
 */
#ifndef MA_DAEMON_BLOOM_REFRESH_H
#define MA_DAEMON_BLOOM_REFRESH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/area.h"

/* Zero-initialise, then use. */
struct ma_bloom_refresh {
	uint64_t samples; /* counters.samples at the last refresh */
	uint64_t live;    /* entries that the last refresh found */
	uint64_t refreshes;
};

/* Refreshes the filter when enough was inserted since the last time. Returns whether it did. Takes
 * milliseconds then. For sampled mode. Daemon loop; the hook runs meanwhile. */
bool ma_bloom_refresh_tick(struct ma_bloom_refresh *refresh, struct ma_area *area);

/* Refreshes now; returns how many addresses are in the filter. */
uint64_t ma_bloom_refresh_now(struct ma_area *area);

#endif
