/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing snapshot.bin (profile.proto): gzip in and out, checks of every index before
 * anybody follows it. The daemon writes; the CLI and every report read.
 */
#ifndef MA_PROTO_SNAPSHOT_H
#define MA_PROTO_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"
#include "proto/profile.pb-c.h"

/* Position of each value in a Sample. */
enum ma_value {
	MA_VALUE_ALLOC_OBJECTS,
	MA_VALUE_ALLOC_SPACE,
	MA_VALUE_PEAK_OBJECTS,
	MA_VALUE_PEAK_SPACE,
	MA_VALUE_INUSE_OBJECTS,
	MA_VALUE_INUSE_SPACE,
	MA_VALUE_COUNT,
};

enum { MA_SNAPSHOT_SCHEMA = 1 };
#define MA_SNAPSHOT_MAX_BYTES (UINT64_C(1) << 32) /* uncompressed; larger is refused */

/* CRC-32 (zlib's) over every sample in order: its location ids, then its values, each as 8 bytes
 * little endian. */
uint32_t ma_snapshot_crc(const Memattach__Profile *profile);

/* Packs and compresses; fills heap.sample_count and sample_crc32 first. *bytes is returned-owned.
 */
int ma_snapshot_pack(Memattach__Profile *profile, uint8_t **bytes, size_t *size,
		     struct ma_error *error);

/* What reading found besides the profile. */
struct ma_snapshot_state {
	bool cut_short;        /* the file ended early: `profile` holds what was there */
	double part;           /* how much of the file could be used, 0 .. 1 */
	bool heap_trusted;     /* field 1000 is there and count and CRC match the samples */
	char heap_reason[120]; /* why not */
};

/*
 * Decompresses (plain protobuf is accepted too), parses, checks. On success *profile is
 * returned-owned: memattach__profile__free_unpacked(profile, NULL). Indexes out of range, wrong
 * sample types, non-dense ids: MA_ERR_PROTOCOL with the offset or the index.
 */
int ma_snapshot_parse(const uint8_t *bytes, size_t size, Memattach__Profile **profile,
		      struct ma_snapshot_state *state, struct ma_error *error);

/* String `index` of the table, "" when out of range. Borrowed. */
const char *ma_snapshot_string(const Memattach__Profile *profile, int64_t index);

#endif
