/* SPDX-License-Identifier: MIT */
/* The estimates of an answer, for their intervals (proto/interval.h). Pure functions. */
#ifndef MA_CLI_LIVE_ESTIMATES_H
#define MA_CLI_LIVE_ESTIMATES_H

#include "cli/format.h"
#include "proto/control.pb-c.h"
#include "proto/interval.h"

struct ma_estimate ma_live_row_estimate(const Memattach__LiveRow *row);
struct ma_estimate ma_live_total_estimate(const Memattach__Totals *totals);
struct ma_estimate ma_live_peak_estimate(const Memattach__Totals *totals);

/* " +-2.6" beside "76.7M": half of the interval's length in the unit of the value; "" when that is
 * exact. */
struct ma_figure ma_live_plus_minus(struct ma_estimate estimate, const char *sign);

#endif
