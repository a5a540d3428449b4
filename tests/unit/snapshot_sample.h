/* SPDX-License-Identifier: MIT */
/* A small, complete snapshot for tests: three sites, two threads' worth of labels, a heap. */
#ifndef MA_TESTS_SNAPSHOT_SAMPLE_H
#define MA_TESTS_SNAPSHOT_SAMPLE_H

#include "proto/snapshot.h"

/* Returned-owned: memattach__profile__free_unpacked(profile, NULL). Always the same. */
Memattach__Profile *snapshot_sample(void);

#endif
