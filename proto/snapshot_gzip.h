/* SPDX-License-Identifier: MIT */
/*
 * The gzip layer of snapshot.bin: inflating with a bound, and the extra field of the gzip header
 * (RFC 1952, subfield "MA": the uncompressed size, 8 bytes little endian). Inside proto/ only.
 */
#ifndef MA_PROTO_SNAPSHOT_GZIP_H
#define MA_PROTO_SNAPSHOT_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/error.h"

enum { MA_SNAPSHOT_EXTRA_BYTES = 12 };

void ma_snapshot_gzip_extra(uint8_t extra[MA_SNAPSHOT_EXTRA_BYTES], uint64_t raw_bytes);

/* Does this start like gzip? */
bool ma_snapshot_is_gzip(const uint8_t *bytes, size_t size);

/*
 * Inflates. *raw is returned-owned. A stream that ends early is no error: *complete is false, and
 * *raw is what could be inflated. *stated_bytes is the size that the header states, 0 = none.
 * Errors: MA_ERR_PROTOCOL for damage and for more than MA_SNAPSHOT_MAX_BYTES, MA_ERR_FAILED for no
 * memory.
 */
int ma_snapshot_inflate(const uint8_t *bytes, size_t size, uint64_t max_bytes, uint8_t **raw,
			size_t *raw_bytes, bool *complete, uint64_t *stated_bytes,
			struct ma_error *error);

#endif
