/* SPDX-License-Identifier: MIT */
/* Confidence intervals of sampled sums; see interval.h and docs/estimates.md. */
#include "proto/interval.h"

#include <float.h>
#include <math.h>

#define Z_95 1.959963984540054 /* the normal distribution's 97.5 % point */
#define TAIL 0.025

/* Samples of the unseen that each end reckons with: between Jeffreys' 1/2 at both ends, which
 * covers too little with few samples, and Garwood's 0 and 1, which never do, but cover too much. */
#define UNSEEN_LOW  0.25
#define UNSEEN_HIGH 0.75

enum { LARGE_SHAPE = 200, STEPS = 100, TERMS = 1000 };

/* A quantile of the gamma distribution with this shape and scale 1, for the normal quantile z
 * (Wilson and Hilferty, "The distribution of chi-square", 1931): exact enough for large shapes, a
 * start for the others. */
static double rough_quantile(double shape, double z)
{
	double root = 1.0 - 1.0 / (9.0 * shape) + z / (3.0 * sqrt(shape));
	return root > 0 ? shape * root * root * root : 0;
}

/* The gamma distribution's mass below x, by the series or by the continued fraction that converges
 * there (Abramowitz and Stegun 6.5.29 and 6.5.31, the latter by Lentz's method). density: x times
 * the density at x. */
static double gamma_below(double shape, double x, double *density)
{
	*density = exp(shape * log(x) - x - lgamma(shape));
	if (x < shape + 1) {
		double term = 1 / shape, sum = term;
		for (int i = 1; i < TERMS && term > sum * DBL_EPSILON; i++) {
			term *= x / (shape + i);
			sum += term;
		}
		return *density * sum;
	}
	double b = x + 1 - shape, c = 1 / DBL_MIN, d = 1 / b, h = d;
	for (int i = 1; i < TERMS; i++) {
		double a = -i * (i - shape);
		b += 2;
		d = 1 / (a * d + b);
		c = b + a / c;
		h *= d * c;
		if (fabs(d * c - 1) < DBL_EPSILON)
			break;
	}
	return 1 - *density * h;
}

/* The same quantile exactly: Newton's steps within a bracket, bisection where they leave it. */
static double gamma_quantile(double shape, double mass, double z)
{
	double x = rough_quantile(shape, z);
	if (shape > LARGE_SHAPE)
		return x;
	double low = 0, high = shape + 10 * sqrt(shape) + 20;
	for (int i = 0; i < STEPS && high - low > 1e-12 * high; i++) {
		double density;
		if (!(x > low && x < high))
			x = (low + high) / 2;
		double excess = gamma_below(shape, x, &density) - mass;
		if (excess > 0)
			high = x;
		else
			low = x;
		double step = density > 0 ? excess * x / density : 0;
		if (fabs(step) < 1e-12 * x)
			break;
		x -= step;
	}
	return x;
}

/* How far a quantile of the gamma distribution with this variance and scale lies from its mean;
 * `more`: samples of the unseen to add to the shape alone. */
static double distance(double variance, double scale, double more, double mass, double z)
{
	double shape = variance / (scale * scale);
	if (!isfinite(shape) || shape > 1e12)
		return z * sqrt(variance);
	return scale * (gamma_quantile(shape + more, mass, z) - shape);
}

/* The scale of the gamma distribution that fits; with samples of one weight it is that weight. */
static double scale_of(const struct ma_estimate *estimate)
{
	double third = estimate->third;
	if (!(estimate->variance > 0) || !(estimate->value > 0))
		return 0;
	if (!(third > 0) || !isfinite(third))
		third = 2 * estimate->variance * estimate->variance / estimate->value;
	return third / (2 * estimate->variance);
}

static double low_end(const struct ma_estimate *estimate, double scale)
{
	/* A heavier tail than the unseen could have would only push the lower end towards the
	 * value. */
	if (estimate->unseen > 0 && estimate->unseen < scale)
		scale = estimate->unseen;
	double low = estimate->value + distance(estimate->variance, scale, UNSEEN_LOW, TAIL, -Z_95);
	return low > 0 ? low : 0;
}

/* scale: of the estimate alone. */
static double high_end(const struct ma_estimate *estimate, double scale, double unseen)
{
	double more = UNSEEN_HIGH * unseen;
	double variance = estimate->variance + more * unseen;
	scale = (estimate->variance * scale + more * unseen * unseen) / variance;
	return estimate->value + more + distance(variance, scale, 0, 1 - TAIL, Z_95);
}

/* Windows in which the same weighs the same are like samples of that weight: shared^2 is the sum of
 * their squares. */
static struct ma_estimate with_windows(const struct ma_estimate *estimate)
{
	struct ma_estimate all = *estimate;
	double square = estimate->shared * estimate->shared, value = estimate->value;
	if (!(square > 0) || !(value > 0))
		return all;
	double window = square / value;
	all.third = 2 * estimate->variance * scale_of(estimate) + 2 * square * window;
	all.variance = estimate->variance + square;
	all.unseen = fmax(estimate->unseen, window);
	return all;
}

/* What ma_interval_95 does once windows are reckoned with. */
static struct ma_interval interval_95(const struct ma_estimate *estimate)
{
	double value = estimate->value, scale = scale_of(estimate);
	double unseen = estimate->unseen > 0 ? estimate->unseen : scale;
	struct ma_interval interval = {value, value};
	if (!(value >= 0) || !isfinite(value))
		return (struct ma_interval){0, 0};
	if (scale > 0 && isfinite(estimate->variance))
		interval.low = low_end(estimate, scale);
	if (unseen > 0 && isfinite(estimate->variance))
		interval.high = high_end(estimate, scale, unseen);
	/* Far out the fit may cross the estimate itself: never claim that. */
	if (interval.low > value)
		interval.low = value;
	if (!(interval.high >= value))
		interval.high = value;
	return interval;
}

struct ma_interval ma_interval_95(const struct ma_estimate *estimate)
{
	struct ma_estimate all = with_windows(estimate);
	return interval_95(&all);
}

struct ma_interval ma_interval_95_of_count(const struct ma_estimate *count,
					   const struct ma_estimate *bytes)
{
	struct ma_estimate estimate = *count;
	double of_bytes = scale_of(bytes), of_count = scale_of(count);
	/* What the unseen weighs more than the samples in bytes, it does in number. */
	estimate.unseen = of_count;
	if (of_bytes > 0 && bytes->unseen > of_bytes)
		estimate.unseen *= bytes->unseen / of_bytes;
	return ma_interval_95(&estimate);
}

struct ma_interval ma_interval_95_of_peak(const struct ma_estimate *peak, double excess)
{
	struct ma_estimate highest = *peak;
	struct ma_interval interval = ma_interval_95(peak);
	highest.value += excess;
	interval.high = ma_interval_95(&highest).high;
	return interval;
}

double ma_interval_plus_minus(const struct ma_estimate *estimate)
{
	struct ma_interval interval = ma_interval_95(estimate);
	return (interval.high - interval.low) / 2;
}

void ma_estimate_add(struct ma_estimate *a, const struct ma_estimate *b)
{
	a->value += b->value;
	a->variance += b->variance;
	a->third += b->third;
	a->shared += b->shared;
	if (b->unseen > a->unseen)
		a->unseen = b->unseen;
}
