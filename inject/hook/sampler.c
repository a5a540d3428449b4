/* SPDX-License-Identifier: MIT */
/*
 * The mathematics of the sampler. For u in (0, 2^64), with z leading zeros, u / 2^64 is
 * m * 2^-(z+1), 1 <= m < 2, so -ln(u / 2^64) = (z + 1) ln 2 - ln m. The top 8 bits of m below the
 * leading one choose b = 1 + i/256 with ln b from a table; m = b (1 + x) with 0 <= x < 1/256, and
 * ln(1 + x) = x - x^2/2 + x^3/3 - x^4/4 leaves an error below x^5/5 < 2^-42.
 * Near u = 2^64, where the result is small, the error stays small beside k/R of one byte at the
 * largest R (2^-26): the chance to sample small blocks is right even there.
 */
#include "inject/hook/sampler.h"

#include "inject/hook/log_table.h"

enum { INDEX_BITS = 8, TABLE_BITS = 63, RESULT_BITS = 57 };

/* a * b where both are fractions of 2^63. */
static uint64_t multiply(uint64_t a, uint64_t b)
{
	return (uint64_t)((unsigned __int128)a * b >> TABLE_BITS);
}

/* SplitMix64 (Steele, Lea, Flood 2014): every state is good, also neighbouring ones. */
uint64_t ma_sampler_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

uint64_t ma_sampler_neg_log(uint64_t u)
{
	uint32_t zeros = (uint32_t)__builtin_clzll(u);
	uint64_t m = u << zeros;
	uint64_t b = m >> (TABLE_BITS - INDEX_BITS); /* 256 .. 511 */
	uint64_t rest = m - (b << (TABLE_BITS - INDEX_BITS));
	uint64_t x = (rest << INDEX_BITS) / b;
	uint64_t x2 = multiply(x, x);
	uint64_t x3 = multiply(x2, x);
	uint64_t x4 = multiply(x3, x);
	uint64_t ln_m = ma_log_table[b - (1 << INDEX_BITS)] + x - x2 / 2 + x3 / 3 - x4 / 4;
	uint64_t powers = (zeros + 1) * MA_LN2_Q57;

	ln_m >>= TABLE_BITS - RESULT_BITS;
	return powers > ln_m ? powers - ln_m : 0;
}

uint64_t ma_sampler_exponential(uint64_t *state)
{
	uint64_t u = ma_sampler_random(state);

	return ma_sampler_neg_log(u + !u);
}

uint64_t ma_sampler_draw(uint64_t *state, uint32_t interval_bytes)
{
	uint64_t e = ma_sampler_exponential(state);

	return (uint64_t)((unsigned __int128)e * interval_bytes >> RESULT_BITS);
}
