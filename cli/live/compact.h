/* SPDX-License-Identifier: MIT */
/* Figures in few columns, for a screen where every cell counts: "1.84G", "+300M", "5.1M", "6d2h".
 * Sizes are binary. */
#ifndef MA_CLI_LIVE_COMPACT_H
#define MA_CLI_LIVE_COMPACT_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/format.h"

/* "0", "812B", "64K", "22.4M", "371M", "1.84G". */
struct ma_figure ma_compact_size(double bytes);

/* The same without decimals that are 0, for settings: "64K". */
struct ma_figure ma_compact_setting(double bytes);

/* The same with a sign: "+300M", "-4.2M"; "0" where nothing changed. */
struct ma_figure ma_compact_change(double bytes);

/* "812", "40k", "5.1M": decimal. */
struct ma_figure ma_compact_count(double count);

/* "43s", "12m", "2h5m", "6d2h". */
struct ma_figure ma_compact_duration(double seconds);

/* "0.9%", "12%". */
struct ma_figure ma_compact_share(double ratio);

/* Local time: "14:03:02", and with minutes only "14:03". */
struct ma_figure ma_compact_clock(uint64_t realtime_ns, bool seconds);

#endif
