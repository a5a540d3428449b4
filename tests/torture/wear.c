/* SPDX-License-Identifier: MIT */
/*
 * Loops in C for a target that is to be worn out, called by storm.py through ctypes without the
 * GIL. Each checks something that a careless tracer would break, and returns how often it was
 * broken.
 */
#include <immintrin.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { BLOCKS = 256 };

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static int intact(const uint8_t *block, size_t bytes, uint8_t mark)
{
	return !block || (block[0] == mark && block[bytes / 2] == mark && block[bytes - 1] == mark);
}

/* Allocates, reallocates and frees with canaries at both ends. */
EXPORT uint64_t wear_malloc(uint64_t rounds, uint64_t seed)
{
	uint8_t *block[BLOCKS] = {0};
	size_t bytes[BLOCKS] = {0};
	uint64_t state = seed * 2 + 1;
	uint64_t broken = 0;

	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t random = next(&state);
		unsigned int at = random % BLOCKS;
		size_t wanted = 1 + (random >> 16) % ((random >> 40) % 64 ? 2000 : 300000);

		broken += !intact(block[at], bytes[at], (uint8_t)at);
		if (block[at] && random >> 60 < 8) {
			free(block[at]);
			block[at] = NULL;
		} else {
			block[at] = realloc(block[at], wanted);
			bytes[at] = wanted;
			if (block[at])
				memset(block[at], (int)at, wanted);
		}
	}
	for (unsigned int at = 0; at < BLOCKS; at++)
		free(block[at]);
	return broken;
}

/* Keeps values in vector registers over a long loop: they are lost when extended state is. */
__attribute__((target("avx2"))) EXPORT uint64_t wear_vectors(uint64_t rounds)
{
	uint64_t broken = 0;

	for (uint64_t i = 0; i < rounds; i++) {
		__m256i a = _mm256_set1_epi64x((long long)(i * 3 + 1));
		__m256i b = _mm256_set1_epi64x((long long)(i * 5 + 2));
		__m256i c = _mm256_add_epi64(a, b);
		__m256d d = _mm256_set1_pd((double)i + 0.5);

		for (int spin = 0; spin < 2000; spin++)
			__asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d));
		if (_mm256_movemask_epi8(_mm256_cmpeq_epi64(_mm256_add_epi64(a, b), c)) != -1 ||
		    _mm256_movemask_pd(
			    _mm256_cmp_pd(d, _mm256_set1_pd((double)i + 0.5), _CMP_EQ_OQ)) != 15)
			broken++;
	}
	return broken;
}

/* Keeps values in the red zone below the stack pointer. */
EXPORT uint64_t wear_red_zone(uint64_t rounds)
{
	uint64_t broken = 0;

	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t low, high;

		__asm__ volatile("mov %2, -8(%%rsp)\n\t"
				 "mov %2, -128(%%rsp)\n\t"
				 "mov $2000, %%ecx\n"
				 "1:\tdec %%ecx\n\t"
				 "jnz 1b\n\t"
				 "mov -8(%%rsp), %0\n\t"
				 "mov -128(%%rsp), %1"
				 : "=&r"(low), "=&r"(high)
				 : "r"(i)
				 : "rcx", "cc", "memory");
		broken += low != i || high != i;
	}
	return broken;
}
