/* SPDX-License-Identifier: MIT */
/* Frees rings whose claim was left by a thread that ended while it held it. */
#ifndef MA_DAEMON_RING_CLAIMS_H
#define MA_DAEMON_RING_CLAIMS_H

#include <stdint.h>

#include "proto/area.h"

/* Who held each ring at the last look, and how far it was. Zero-initialise. */
struct ma_ring_claims {
	uint32_t claim[MA_RINGS];
	uint64_t head[MA_RINGS];
};

/* Looks at all rings; call about once a second. A claim that did not move since the last look and
 * whose thread is gone (proc_fd, borrowed, is /proc/PID) is given back. Returns how many were.
 * Daemon loop. */
int ma_ring_claims_look(struct ma_ring_claims *claims, struct ma_ring rings[MA_RINGS], int proc_fd);

#endif
