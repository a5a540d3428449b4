/* SPDX-License-Identifier: MIT */
/* The sampler's mathematics: the logarithm against libm's, draws against the distribution. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "inject/hook/sampler.h"

enum { DRAWS = 1000000, BINS = 50 };

static double neg_log(uint64_t u)
{
	return ldexp((double)ma_sampler_neg_log(u), -57);
}

static void check_log(uint64_t u)
{
	/* log1p where u is near 2^64: there the plain logarithm of a double says 0. */
	double exact = u > UINT64_C(1) << 63 ? -log1p(-ldexp((double)(0 - u), -64))
					     : -log(ldexp((double)u, -64));

	if (fabs(neg_log(u) - exact) > ldexp(1, -40))
		fail_msg("-ln(%#lx / 2^64) is %.17g, should be %.17g", u, neg_log(u), exact);
}

static void test_log(void **state)
{
	uint64_t random = 1;

	(void)state;
	for (int bit = 0; bit < 64; bit++) {
		check_log(UINT64_C(1) << bit);
		check_log((UINT64_C(1) << bit) - (bit > 0));
		check_log(UINT64_MAX - (UINT64_C(1) << bit) + 1);
	}
	/* All borders of the table. */
	for (uint64_t step = 256; step < 512; step++) {
		check_log(step << 55);
		check_log((step << 55) - 1);
		check_log((step << 55) + 1);
	}
	for (int i = 0; i < DRAWS; i++)
		check_log(ma_sampler_random(&random) | 1);
	assert_true(neg_log(UINT64_MAX) < ldexp(1, -40));
	assert_true(fabs(neg_log(1) - 64 * log(2)) < 1e-9);
}

/*
 * The chance that k bytes are sampled is the share of the random numbers that draw less than k. The
 * smallest number that does, found by bisection, tells it exactly.
 */
static double chance(uint64_t bytes, uint32_t interval)
{
	uint64_t low = 1, high = UINT64_MAX;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		unsigned __int128 product =
			(unsigned __int128)ma_sampler_neg_log(middle) * interval;

		if ((uint64_t)(product >> 57) < bytes)
			high = middle;
		else
			low = middle + 1;
	}
	return ldexp((double)(0 - low), -64);
}

static void test_chances(void **state)
{
	static const uint64_t sizes[] = {1, 16, 100, 4096, 65536, 1 << 20, 1 << 24};

	(void)state;
	for (uint32_t interval = 4096; interval <= 64 << 20; interval *= 16)
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			double got = chance(sizes[i], interval);
			double told = -expm1(-(double)sizes[i] / interval);

			if (fabs(got - told) > 1e-3 * told)
				fail_msg("%lu bytes at %u: %g, should be %g", sizes[i], interval,
					 got, told);
		}
}

static void check_draws(uint32_t interval, uint64_t seed)
{
	uint64_t random = seed;
	uint32_t bins[BINS] = {0};
	double sum = 0, chi = 0;

	for (int i = 0; i < DRAWS; i++) {
		double bytes = (double)ma_sampler_draw(&random, interval);
		int bin = (int)(-expm1(-(bytes + 0.5) / interval) * BINS);

		sum += bytes + 0.5; /* the draw is rounded down */
		bins[bin < BINS ? bin : BINS - 1]++;
	}
	/* The mean of a million draws: standard deviation R / 1000. Four of them. */
	if (fabs(sum / DRAWS - interval) > 4e-3 * interval)
		fail_msg("mean of the draws at %u: %.1f", interval, sum / DRAWS);
	for (int i = 0; i < BINS; i++)
		chi += (bins[i] - (double)DRAWS / BINS) * (bins[i] - (double)DRAWS / BINS) /
		       ((double)DRAWS / BINS);
	/* Chi-square with 49 degrees of freedom: 99.99 % lie below 93. */
	if (chi > 93)
		fail_msg("draws at %u: chi-square %.1f", interval, chi);
}

static void test_draws(void **state)
{
	(void)state;
	check_draws(65536, 1);
	check_draws(1 << 20, 2);
	check_draws(64 << 20, UINT64_C(0xdeadbeef00000000));
}

/* Bytes in blocks of mixed sizes, estimated from the samples, as the hook takes them. */
static void test_estimate(void **state)
{
	static const uint64_t sizes[] = {1, 16, 33, 48, 200, 512, 4000, 70000, 1000000};
	enum { KINDS = sizeof sizes / sizeof sizes[0], ROUNDS = 400000 };
	uint32_t interval = 65536;
	uint64_t random = 3, left = ma_sampler_draw(&random, interval);
	double got[KINDS] = {0}, variance[KINDS] = {0}, told[KINDS] = {0};

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		size_t kind = ma_sampler_random(&random) % KINDS;
		double k = (double)sizes[kind], p = -expm1(-k / interval);

		told[kind] += k;
		variance[kind] += k * k * (1 - p) / p;
		if (left >= sizes[kind]) {
			left -= sizes[kind];
			continue;
		}
		got[kind] += k / p;
		left = ma_sampler_draw(&random, interval);
	}
	for (int kind = 0; kind < KINDS; kind++)
		if (fabs(got[kind] - told[kind]) > 4.5 * sqrt(variance[kind]) + 1)
			fail_msg("%lu bytes: %.0f estimated, %.0f allocated, deviation %.0f",
				 sizes[kind], got[kind], told[kind], sqrt(variance[kind]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_chances),
		cmocka_unit_test(test_draws),
		cmocka_unit_test(test_estimate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
