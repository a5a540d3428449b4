/* SPDX-License-Identifier: MIT */
/* Profiles made by hand, for the views of the command line. */
#ifndef MA_TESTS_CLI_PROFILE_H
#define MA_TESTS_CLI_PROFILE_H

#include "proto/snapshot.h"

/* What one sample holds; bytes are estimates, the variance is of the live bytes (and half of it of
 * the held ones). */
struct cli_sample {
	/* "name|file|line", innermost first, NULL behind the last; "!name|file|line" is native. */
	const char *frames[8];
	double held, live, peak, allocated, count, variance;
	unsigned flags;
};

/* Returned-owned: memattach__profile__free_unpacked. A process that has run for 6 d 2 h, attached
 * at 14:03:02 UTC, looked at 10 s later. */
Memattach__Profile *cli_profile_make(const struct cli_sample *samples, size_t count);

/* Replaces a string of a message. */
void cli_profile_set(char **string, const char *value);

#define CLI_ATTACH_NS   UINT64_C(1714572182000000000) /* 2024-05-01 14:03:02 UTC */
#define CLI_SNAPSHOT_NS (CLI_ATTACH_NS + UINT64_C(10000000000))

#endif
