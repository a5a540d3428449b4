/* SPDX-License-Identifier: MIT */
/* The size classes by which a target is sampled, as answers and snapshots tell of them. */
#ifndef MA_DAEMON_SIZE_RATES_H
#define MA_DAEMON_SIZE_RATES_H

#include <stddef.h>

#include "daemon/pool.h"
#include "proto/area.h"
#include "proto/profile.pb-c.h"

/* Messages in the pool, *count of them; NULL and 0 when sampling is not by size class. The class of
 * all larger sizes is left out: it is certain. */
Memattach__SizeRate **ma_size_rates(const struct ma_area_ident *ident, struct ma_pool *pool,
				    size_t *count);

#endif
