/* SPDX-License-Identifier: MIT */
/* See windows.h. */
#include "daemon/windows.h"

#include <sys/random.h>

#include "proto/area.h"

static uint64_t seed(void)
{
	uint64_t random = 0;
	if (getrandom(&random, sizeof random, 0) != sizeof random)
		random = (uint64_t)(uintptr_t)&random;
	return random | 1;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

uint64_t ma_windows_next(struct ma_windows *windows, uint32_t now_ms, uint32_t exponent,
			 uint64_t seen)
{
	if (!windows->random)
		windows->random = seed();
	if (seen == windows->wanted || seen != windows->seen || !exponent)
		windows->answered_ms = now_ms;
	windows->seen = seen;
	if (now_ms - windows->answered_ms > MA_WINDOWS_PATIENCE_MS)
		exponent = 0;
	bool closed = next_random(&windows->random) >> 1 >= (UINT64_C(1) << 63) >> exponent;
	windows->wanted = exponent ? MA_WINDOW(now_ms, exponent, closed) : 0;
	return windows->wanted;
}
