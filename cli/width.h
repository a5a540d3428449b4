/* SPDX-License-Identifier: MIT */
/* Terminal columns of a code point, without a locale. */
#ifndef MA_CLI_WIDTH_H
#define MA_CLI_WIDTH_H

#include <stdint.h>

/* 0, 1 or 2 columns. Control characters are not for a terminal and count 1: escape them first. */
unsigned ma_width_of(uint32_t code_point);

#endif
