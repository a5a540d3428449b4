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

static double low_end(const struct ma_estimate *estimate, double scale)
{
	/* A heavier tail than the unseen could have would only push the lower end towards the
	 * value. */
	if (estimate->unseen > 0 && estimate->unseen < scale)
		scale = estimate->unseen;
	double low = estimate->value + distance(estimate->variance, scale, UNSEEN_LOW, TAIL, -Z_95);
	return low > 0 ? low : 0;
}

static double high_end(const struct ma_estimate *estimate, double third, double unseen)
{
	double more = UNSEEN_HIGH * unseen;
	double variance = estimate->variance + more * unseen;
	double scale = (third + 2 * more * unseen * unseen) / (2 * variance);
	return estimate->value + more + distance(variance, scale, 0, 1 - TAIL, Z_95);
}

struct ma_interval ma_interval_95(const struct ma_estimate *estimate)
{
	double value = estimate->value, variance = estimate->variance;
	double unseen = estimate->unseen, third = estimate->third;
	if (!(value >= 0) || !isfinite(value))
		return (struct ma_interval){0, 0};
	struct ma_interval interval = {value, value};
	if (variance > 0 && isfinite(variance) && value > 0) {
		if (!(third > 0) || !isfinite(third))
			third = 2 * variance * variance / value;
		double scale = third / (2 * variance);
		if (!(unseen > 0))
			unseen = scale;
		interval.low = low_end(estimate, scale);
		interval.high = high_end(estimate, third, unseen);
	} else if (unseen > 0) {
		const struct ma_estimate certain = {.value = value};
		interval.high = high_end(&certain, 0, unseen);
	}
	/* Far out the fit may cross the estimate itself: never claim that. */
	if (interval.low > value)
		interval.low = value;
	if (!(interval.high >= value))
		interval.high = value;
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
	if (b->unseen > a->unseen)
		a->unseen = b->unseen;
}
