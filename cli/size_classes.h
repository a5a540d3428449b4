/* SPDX-License-Identifier: MIT */
/*
 * Sampling by size class as people write it (heapprof's notation): "{128: 1e-4, 8192: 0.1}" samples
 * requests of up to 127 bytes with a chance of 1 in 10,000, those of up to 8,191 with 1 in 10, and
 * all larger ones.
 */
#ifndef MA_CLI_SIZE_CLASSES_H
#define MA_CLI_SIZE_CLASSES_H

#include <stddef.h>
#include <stdint.h>

#include "cli/json_out.h"
#include "cli/text.h"
#include "proto/area.h"
#include "proto/error.h"
#include "proto/profile.pb-c.h"

/* Fills rates in ascending order, the class of all larger sizes last. 0 or MA_ERR_USAGE with what
 * was expected as the answer. */
int ma_size_classes_parse(const char *string, struct ma_size_rate rates[MA_SIZE_RATES],
			  uint32_t *count, struct ma_error *error);

/* Adds the same notation: "{128: 0.0001, 8192: 0.1}". */
void ma_size_classes_write(struct ma_text *text, Memattach__SizeRate *const *rates, size_t count);

/* The member "size_classes": one object for each, none when sampling is not by size. */
void ma_size_classes_json(struct ma_json *json, Memattach__SizeRate *const *rates, size_t count);

#endif
