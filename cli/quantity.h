/* SPDX-License-Identifier: MIT */
/*
 * Reading what people type: sizes, durations, percentages, counts, process ids. Each function takes
 * the whole string, returns 0 or MA_ERR_USAGE, and says in the error's answer what it expected.
 */
#ifndef MA_CLI_QUANTITY_H
#define MA_CLI_QUANTITY_H

#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

/* "64KiB", "64k", "1.5 MiB", "1MB" (1,000,000), "4096"; at least 1 byte. */
int ma_quantity_size(const char *string, uint64_t *bytes, struct ma_error *error);
/* "10s", "500ms", "5m", "1h", "2d", "0"; a bare number is seconds. At most ten years. */
int ma_quantity_duration(const char *string, uint64_t *milliseconds, struct ma_error *error);
/* "2%", "0.5 %", "2" (percent); above 0 and at most 100. *ratio is 0.02 for 2 %. */
int ma_quantity_percent(const char *string, double *ratio, struct ma_error *error);
/* 1, 2, 3, ... 1,000,000. */
int ma_quantity_count(const char *string, unsigned *count, struct ma_error *error);
/* A process id: digits only, 1 .. INT_MAX. */
int ma_quantity_pid(const char *string, pid_t *pid, struct ma_error *error);

#endif
