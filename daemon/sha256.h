/* SPDX-License-Identifier: MIT */
/* SHA-256 (FIPS 180-4): the name of what an unwind table was compiled from. */
#ifndef MA_DAEMON_SHA256_H
#define MA_DAEMON_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { MA_SHA256_BYTES = 32, MA_SHA256_BLOCK_BYTES = 64 };

struct ma_sha256 {
	uint32_t state[8];
	uint64_t bytes; /* taken in so far */
	uint8_t block[MA_SHA256_BLOCK_BYTES];
};

void ma_sha256_init(struct ma_sha256 *sha);
void ma_sha256_add(struct ma_sha256 *sha, const void *data, size_t bytes);
void ma_sha256_finish(struct ma_sha256 *sha, uint8_t digest[MA_SHA256_BYTES]);

#endif
