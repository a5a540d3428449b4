/* SPDX-License-Identifier: MIT */
/* Weights of samples: unbiased, safe at both ends; intervals: they cover what they claim. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/estimate.h"
#include "daemon/halves.h"
#include "proto/area.h"
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
	ma_estimate_weight(UINT64_MAX, 64 << 20, &weight);
	assert_true(isfinite(weight.bytes_variance));
	for (uint64_t k = 1; k < UINT64_C(1) << 47; k *= 3) {
		for (uint64_t r = 4096; r <= 64 << 20; r *= 7) {
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

/* A size class: the chance of its rate, whatever the size. */
static void test_chances(void **state)
{
	(void)state;
	struct ma_weight weight;
	ma_estimate_weight(5000, MA_RATE_CHANCE | MA_RATE_ONE / 4, &weight);
	assert_true(bytes_of(&weight) == 20000 && count_of(&weight) == 4);
	assert_near(weight.count_variance, 0.75 * 16, 1e-12);
	assert_near(weight.bytes_third, pow(5000, 3) * 0.75 * 1.75 * 64, 1e-12);
	ma_estimate_weight(100, MA_RATE_CHANCE | 1, &weight);
	assert_true(count_of(&weight) == pow(2, 31));
	/* Nonsense of a target is no reason to divide by 0. */
	ma_estimate_weight(100, MA_RATE_CHANCE, &weight);
	assert_true(bytes_of(&weight) == 100 && weight.bytes_variance == 0);
}

/* The cumulants are those of 1 + G for a geometric G, found by adding them up term by term. */
static void test_cumulants(void **state)
{
	(void)state;
	for (double p = 0.05; p < 0.99; p += 0.07) {
		double mean = (1 - p) / p, second = 0, third = 0;
		for (int g = 0; g < 2000; g++) {
			double mass = p * pow(1 - p, g);
			second += mass * pow(g - mean, 2);
			third += mass * pow(g - mean, 3);
		}
		struct ma_weight weight;
		ma_estimate_weight(1, MA_RATE_CHANCE | (uint32_t)(p * MA_RATE_ONE), &weight);
		assert_near(weight.count_variance, second, 1e-5);
		assert_near(weight.count_third, third, 1e-5);
	}
}

/* Each sample is in one half or in both, as if two samplers of twice the interval were at work. */
static void test_halves(void **state)
{
	(void)state;
	static const uint64_t sizes[] = {64, 30000, 65536, 200000, 5000000};
	uint64_t random = 11;
	for (int i = 0; i < 5; i++) {
		struct ma_weight weight;
		ma_estimate_weight(sizes[i], 65536, &weight);
		double sums[2] = {0}, product = 0, once;
		enum { ROUNDS = 200000 };
		for (int round = 0; round < ROUNDS; round++) {
			struct ma_halves halves = {0};
			struct ma_halves_coins coins = {
				.sample = ma_halves_coin((uint64_t)(uniform(&random) * 1e12), 7)};
			ma_halves_add(&halves, &weight, coins, sizes[i]);
			assert_true(halves.live[0] || halves.live[1]);
			sums[0] += (double)halves.live[0];
			sums[1] += (double)halves.live[1];
			product += (double)halves.live[0] * (double)halves.live[1];
			ma_halves_take(&halves, &weight, coins, sizes[i]);
			assert_true(!halves.live[0] && !halves.live[1]);
		}
		/* Given that it was sampled, each half expects its weight; and the two are
		 * independent. */
		once = (double)sizes[i] * MA_BYTES_UNITS;
		assert_near(sums[0] / ROUNDS * weight.chance, once, 0.02);
		assert_near(sums[1] / ROUNDS * weight.chance, once, 0.02);
		if (sizes[i] >= 30000)
			assert_near(product / ROUNDS * weight.chance, once * once, 0.04);
	}
}

/* With windows, a half is a sampler whose windows are open half as often and its own. */
static void test_halves_of_windows(void **state)
{
	(void)state;
	enum { ROUNDS = 400000, SHARED = 2 };
	static const uint64_t size = 40000;
	uint64_t random = 12;
	for (uint32_t exponent = 1; exponent <= 4; exponent++) {
		uint32_t rate = exponent << MA_RATE_WINDOW_SHIFT | 65536;
		struct ma_weight weight;
		double sums[2] = {0}, product = 0, both = 0;
		ma_estimate_weight(size, rate, &weight);
		for (uint32_t i = 0; i < ROUNDS; i++) {
			struct ma_halves halves = {0}, other = {0};
			struct ma_halves_coins coins = {.window = ma_halves_coin(exponent, i)};
			coins.sample = (uint32_t)(uniform(&random) * 4294967296.0);
			ma_halves_add(&halves, &weight, coins, size);
			coins.sample = (uint32_t)(uniform(&random) * 4294967296.0);
			ma_halves_add(&other, &weight, coins, size);
			sums[0] += (double)halves.live[0];
			sums[1] += (double)halves.live[1];
			product += (double)halves.live[0] * (double)halves.live[1];
			both += (double)halves.live[0] * (double)other.live[1];
		}
		double chance = weight.chance * weight.open, once = (double)size * MA_BYTES_UNITS;
		assert_near(sums[0] / ROUNDS * chance, once, 0.03);
		assert_near(sums[1] / ROUNDS * chance, once, 0.03);
		assert_near(product / ROUNDS * chance, once * once, 0.06);
		/* Two allocations of one window: the halves know nothing of each other either. */
		assert_near(both / ROUNDS * chance * weight.chance, once * once, 0.06);
	}
}

static struct ma_interval interval_of(double value, double variance, double third, double unseen)
{
	const struct ma_estimate estimate = {value, variance, third, unseen, 0};
	return ma_interval_95(&estimate);
}

/* Mass of a Poisson distribution. */
static double poisson(unsigned n, double mean)
{
	return exp(n * log(mean) - mean - lgamma(n + 1.0));
}

/* Small blocks make n samples of one weight, a Poisson number: the coverage can be added up. */
static void test_intervals_of_equal_samples(void **state)
{
	(void)state;
	for (double mean = 0.05; mean < 300; mean *= 1.01) {
		double covered = 0;
		for (unsigned n = 0; n < 600; n++) {
			struct ma_interval interval = interval_of(n, n, 2.0 * n, 1);
			if (interval.low <= mean && mean <= interval.high)
				covered += poisson(n, mean);
		}
		/* Below 4 or so most of the error is on one side only, and the rest is granular. */
		double most = mean < 10 ? 1 : 0.97;
		if (covered < 0.94 || covered > most)
			fail_msg("mean %g: covers %.4f", mean, covered);
	}
}

static void test_interval_ends(void **state)
{
	(void)state;
	struct ma_interval interval = interval_of(0, 0, 0, 0);
	assert_true(interval.low == 0 && interval.high == 0);
	interval = interval_of(500, 0, 0, 0);
	assert_true(interval.low == 500 && interval.high == 500);
	interval = interval_of(1e9, 1e12, 0, 0);
	assert_near(interval.high - 1e9, 1.96e6, 0.01);
	assert_near(1e9 - interval.low, 1.96e6, 0.01);
	/* Quantiles of the gamma distribution with shapes 3/4, 5/4 and 7/4 (R's qgamma). */
	interval = interval_of(0, 0, 0, 1000);
	assert_near(interval.high, 3137.9, 1e-4);
	interval = interval_of(1000, 1e6, 2e9, 1000);
	assert_near(interval.low, 59.31, 1e-3);
	assert_near(interval.high, 5131.0, 1e-4);
	/* What is certain keeps its value as the lower end. */
	interval = interval_of(1e6, 0, 0, 1000);
	assert_true(interval.low == 1e6);
	assert_near(interval.high, 1e6 + 3137.9, 1e-7);
	interval = interval_of(NAN, 1, 1, 1);
	assert_true(interval.low == 0 && interval.high == 0);
	interval = interval_of(-5, 1, 1, 1);
	assert_true(interval.low == 0 && interval.high == 0);
	/* Rests of rounding. */
	interval = interval_of(500, 1e-30, 1e10, 0);
	assert_near(interval.low, 500, 1e-9);
	assert_true(isfinite(interval.high));
	interval = interval_of(500, 1e-30, 1e-300, 0);
	assert_near(interval.high, 500, 1e-9);
	interval = interval_of(500, INFINITY, 1, 0);
	assert_true(interval.low == 500 && interval.high == 500);
}

/* More samples, shorter; more variance, longer; never beside the estimate. */
static void test_intervals_are_monotonous(void **state)
{
	(void)state;
	for (double shape = 1; shape < 1e6; shape *= 1.07) {
		double variance = 1e6 * 1e6 / shape;
		struct ma_interval narrow =
			interval_of(1e6, variance, 2 * variance * variance / 1e6, 0);
		variance *= 1.07;
		struct ma_interval wide =
			interval_of(1e6, variance, 2 * variance * variance / 1e6, 0);
		assert_true(narrow.low <= 1e6 && narrow.high >= 1e6);
		assert_true(wide.low <= narrow.low + 1e-3);
		assert_true(wide.high >= narrow.high - 1e-3);
	}
}

/* Windows of a Poisson number of equal samples, thinned: the interval covers. */
static void test_intervals_of_windows(void **state)
{
	(void)state;
	enum { ROUNDS = 20000, WINDOWS = 400, EACH = 3 };
	uint64_t random = 13;
	int covered = 0;
	for (int i = 0; i < ROUNDS; i++) {
		unsigned open = 0;
		for (int window = 0; window < WINDOWS; window++)
			open += uniform(&random) < 0.25;
		/* Each sample weighs 4, certain but for its window. */
		double samples = open * EACH;
		const struct ma_estimate estimate = {
			.value = 4 * samples,
			.variance = samples * 0.75 * 16,
			.third = samples * 0.75 * 1.75 * 64,
			.unseen = 4,
			.shared = sqrt(open * 0.75 * 16 * (EACH * EACH - EACH)),
		};
		struct ma_interval interval = ma_interval_95(&estimate);
		covered += interval.low <= WINDOWS * EACH && WINDOWS * EACH <= interval.high;
	}
	if (covered < 0.94 * ROUNDS || covered > 0.97 * ROUNDS)
		fail_msg("covers %d of %d", covered, ROUNDS);
}

/* What is shared makes an interval longer; estimates that share err together when added up. */
static void test_shared(void **state)
{
	(void)state;
	struct ma_estimate a = {1000, 1e4, 2e5, 10, 0}, b = a, sum = a;
	struct ma_interval before = ma_interval_95(&a), after;
	a.shared = 100;
	after = ma_interval_95(&a);
	assert_true(after.low < before.low && after.high > before.high);
	a = (struct ma_estimate){1e6, 1e6, 2e6, 1, 3e4};
	after = ma_interval_95(&a);
	assert_near(after.high - 1e6, 1.96 * 3e4, 0.05);
	assert_near(1e6 - after.low, 1.96 * 3e4, 0.05);
	b.shared = 30;
	sum.shared = 40;
	ma_estimate_add(&sum, &b);
	assert_true(sum.shared == 70 && sum.value == 2000 && sum.variance == 2e4);
	/* Nonsense does no harm. */
	a.shared = NAN;
	after = ma_interval_95(&a);
	assert_true(after.low <= 1e6 && after.high >= 1e6);
	a.shared = INFINITY;
	after = ma_interval_95(&a);
	assert_true(after.low <= 1e6 && after.high >= 1e6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certain),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_unbiased),
		cmocka_unit_test(test_chances),
		cmocka_unit_test(test_cumulants),
		cmocka_unit_test(test_halves),
		cmocka_unit_test(test_halves_of_windows),
		cmocka_unit_test(test_intervals_of_equal_samples),
		cmocka_unit_test(test_interval_ends),
		cmocka_unit_test(test_intervals_of_windows),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_intervals_are_monotonous),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
