/* SPDX-License-Identifier: MIT */
/* Weights of samples: unbiased, safe at both ends; intervals: they cover what they claim. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/estimate.h"
#include "proto/interval.h"

/* xorshift64*: the same numbers on every machine. */
static double uniform(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return ((double)(*state * UINT64_C(2685821657736338717) >> 11) + 0.5) / 9007199254740992.0;
}

static double draw(uint64_t *state, double mean)
{
	return -mean * log(uniform(state));
}

static double bytes_of(const struct ma_weight *weight)
{
	return (double)weight->bytes / MA_BYTES_UNITS;
}

static double count_of(const struct ma_weight *weight)
{
	return (double)weight->count / MA_COUNT_UNITS;
}

static void assert_near(double value, double wanted, double tolerance)
{
	if (!(fabs(value - wanted) <= tolerance * fabs(wanted)))
		fail_msg("%g is not within %g of %g", value, tolerance, wanted);
}

static void test_certain(void **state)
{
	(void)state;
	struct ma_weight weight;
	ma_estimate_weight(1000, 0, &weight);
	assert_true(bytes_of(&weight) == 1000 && count_of(&weight) == 1);
	assert_true(weight.bytes_variance == 0 && weight.count_variance == 0);
	ma_estimate_weight(0, 0, &weight);
	assert_true(bytes_of(&weight) == 1);
}

/* Far below R a sample stands for R bytes; far above for itself. */
static void test_extremes(void **state)
{
	(void)state;
	struct ma_weight weight;
	ma_estimate_weight(1, 64 << 20, &weight);
	assert_near(bytes_of(&weight), 64 << 20, 1e-6);
	assert_near(count_of(&weight), 64 << 20, 1e-6);
	assert_near(weight.count_variance, pow(2, 52), 1e-6);
	ma_estimate_weight(UINT64_C(1) << 47, 4096, &weight);
	assert_true(bytes_of(&weight) == pow(2, 47));
	assert_true(count_of(&weight) == 1);
	assert_true(weight.bytes_variance == 0);
	ma_estimate_weight(UINT64_MAX, UINT32_MAX, &weight);
	assert_true(isfinite(weight.bytes_variance));
	for (uint64_t k = 1; k < UINT64_C(1) << 47; k *= 3) {
		for (uint64_t r = 4096; r <= UINT64_C(1) << 32; r *= 7) {
			double x = (double)k / (double)(uint32_t)r;
			ma_estimate_weight(k, (uint32_t)r, &weight);
			assert_near(bytes_of(&weight), (double)k / -expm1(-x), 1e-3);
			assert_true(isfinite(weight.bytes_variance) && weight.bytes_variance >= 0);
		}
	}
}

/* Sums of one simulated run. */
struct run {
	double bytes, variance, true_bytes;
	unsigned samples;
};

/* Allocates `count` blocks of sizes that differ a lot and samples them as the hook does. */
static struct run simulate(uint64_t *random, const uint32_t *sizes, unsigned size_count,
			   unsigned count, uint32_t interval)
{
	struct run run = {0};
	double left = draw(random, interval);
	for (unsigned i = 0; i < count; i++) {
		uint32_t size = sizes[(unsigned)(uniform(random) * size_count)];
		run.true_bytes += size;
		left -= size;
		if (left > 0)
			continue;
		struct ma_weight weight;
		ma_estimate_weight(size, interval, &weight);
		run.bytes += bytes_of(&weight);
		run.variance += weight.bytes_variance;
		run.samples++;
		left = draw(random, interval);
	}
	return run;
}

static void test_unbiased(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {1, 24, 56, 512, 4000, 65536, 300000, 2000000};
	uint64_t random = 1;
	double sum = 0, sum_true = 0, variance = 0;
	for (int seed = 0; seed < 40; seed++) {
		struct run run = simulate(&random, sizes, 8, 100000, 65536);
		sum += run.bytes;
		sum_true += run.true_bytes;
		variance += run.variance;
	}
	/* Four standard deviations, and below half a percent at that. */
	assert_true(4 * sqrt(variance) < 0.005 * sum_true);
	assert_true(fabs(sum - sum_true) < 4 * sqrt(variance));
}

static double coverage(const uint32_t *sizes, unsigned size_count, unsigned count, unsigned least)
{
	uint64_t random = 7;
	unsigned covered = 0, runs = 0;
	for (int seed = 0; seed < 3000; seed++) {
		struct run run = simulate(&random, sizes, size_count, count, 65536);
		if (run.samples < least)
			continue;
		struct ma_interval interval = ma_interval_95(run.bytes, run.variance);
		runs++;
		covered += interval.low <= run.true_bytes && run.true_bytes <= interval.high;
	}
	assert_true(runs > 2000);
	return (double)covered / runs;
}

static void test_intervals_cover(void **state)
{
	(void)state;
	static const uint32_t small[] = {40, 64, 200, 1000};
	static const uint32_t mixed[] = {64, 500, 20000, 70000, 400000};
	double few = coverage(small, 4, 2200, 1);      /* about 11 samples */
	double enough = coverage(small, 4, 10000, 30); /* about 50 */
	double of_mixed = coverage(mixed, 5, 150, 30);
	if (few < 0.92 || few > 0.985 || enough < 0.93 || enough > 0.97 || of_mixed < 0.93 ||
	    of_mixed > 0.975)
		fail_msg("covers %.3f %.3f %.3f", few, enough, of_mixed);
}

static void test_interval_ends(void **state)
{
	(void)state;
	struct ma_interval interval = ma_interval_95(0, 0);
	assert_true(interval.low == 0 && interval.high == 0);
	interval = ma_interval_95(500, 0);
	assert_true(interval.low == 500 && interval.high == 500);
	interval = ma_interval_95(1e9, 1e12);
	assert_near(interval.high - 1e9, 1.96e6, 0.01);
	assert_near(1e9 - interval.low, 1.96e6, 0.01);
	/* One sample: the exact interval of a Poisson mean is 0.025 .. 5.57, Jeffreys' 0.11
	 * .. 4.67. */
	interval = ma_interval_95(65536, 65536.0 * 65536.0);
	assert_near(interval.low / 65536, 0.108, 0.2);
	assert_near(interval.high / 65536, 4.674, 0.02);
	interval = ma_interval_95(NAN, 1);
	assert_true(interval.low == 0 && interval.high == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certain),       cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_unbiased),      cmocka_unit_test(test_intervals_cover),
		cmocka_unit_test(test_interval_ends),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
