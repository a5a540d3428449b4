/* SPDX-License-Identifier: MIT */
/* See sha256.h. Plain C: some 300 MB/s, and an .eh_frame has a megabyte. */
#include "daemon/sha256.h"

#include <string.h>

enum { ROUNDS = 64, LENGTH_AT = MA_SHA256_BLOCK_BYTES - 8 };

static const uint32_t constants[ROUNDS] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
	0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
	0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
	0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
	0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
	0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
	0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
	0xc67178f2};

static uint32_t rotate(uint32_t word, unsigned bits)
{
	return word >> bits | word << (32 - bits);
}

static void take_block(uint32_t state[8], const uint8_t *block)
{
	uint32_t w[ROUNDS], s[8];
	for (int i = 0; i < 16; i++) {
		uint32_t word;
		memcpy(&word, block + 4 * i, sizeof word);
		w[i] = __builtin_bswap32(word);
	}
	for (int i = 16; i < ROUNDS; i++) {
		uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
		uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
		w[i] = w[i - 16] + a + w[i - 7] + b;
	}
	memcpy(s, state, sizeof s);
	/* The eight words change their parts at each round instead of their places. */
	for (int round = 0; round < ROUNDS; round += 8) {
#pragma GCC unroll 8
		for (int i = 0; i < 8; i++) {
			uint32_t a = s[-i & 7], b = s[(1 - i) & 7], c = s[(2 - i) & 7];
			uint32_t e = s[(4 - i) & 7], f = s[(5 - i) & 7], g = s[(6 - i) & 7];
			uint32_t sum = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
			uint32_t first = s[(7 - i) & 7] + sum + ((e & f) ^ (~e & g)) +
					 constants[round + i] + w[round + i];
			sum = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
			s[(3 - i) & 7] += first;
			s[(7 - i) & 7] = first + sum + ((a & b) ^ (a & c) ^ (b & c));
		}
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

void ma_sha256_init(struct ma_sha256 *sha)
{
	*sha = (struct ma_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
					    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void ma_sha256_add(struct ma_sha256 *sha, const void *data, size_t bytes)
{
	const uint8_t *at = data;
	while (bytes) {
		size_t used = sha->bytes % MA_SHA256_BLOCK_BYTES;
		size_t part = MA_SHA256_BLOCK_BYTES - used;
		part = part < bytes ? part : bytes;
		memcpy(sha->block + used, at, part);
		sha->bytes += part;
		at += part;
		bytes -= part;
		if (used + part == MA_SHA256_BLOCK_BYTES)
			take_block(sha->state, sha->block);
	}
}

void ma_sha256_finish(struct ma_sha256 *sha, uint8_t digest[MA_SHA256_BYTES])
{
	static const uint8_t padding[MA_SHA256_BLOCK_BYTES] = {0x80};
	uint64_t bits = __builtin_bswap64(sha->bytes * 8);
	size_t used = sha->bytes % MA_SHA256_BLOCK_BYTES;
	ma_sha256_add(sha, padding, (used < LENGTH_AT ? LENGTH_AT : LENGTH_AT + 64) - used);
	ma_sha256_add(sha, &bits, sizeof bits);
	for (int i = 0; i < 8; i++) {
		uint32_t word = __builtin_bswap32(sha->state[i]);
		memcpy(digest + 4 * i, &word, sizeof word);
	}
}
