/* SPDX-License-Identifier: MIT */
/*
 * For how much of the time small objects of Python were looked at (proto/area.h, MA_WINDOW), as
 * summaries and documents say it. exponent: as in memattach.Sampler and Session: 0 = all the time.
 */
#ifndef MA_CLI_WINDOWS_VIEW_H
#define MA_CLI_WINDOWS_VIEW_H

#include <stdint.h>

#include "cli/format.h"
#include "cli/json_out.h"

/* "1/8". */
struct ma_figure ma_windows_part(uint32_t exponent);

/* A member of this name, a ratio. */
void ma_windows_json(struct ma_json *json, const char *name, uint32_t exponent);

#endif
