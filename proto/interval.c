/* SPDX-License-Identifier: MIT */
/* Confidence intervals of sampled sums; see interval.h for the method. */
#include "proto/interval.h"

#include <math.h>

#define Z_95 1.959963984540054 /* the normal distribution's 97.5 % point */

/* A quantile of the gamma distribution with this shape and scale 1, for the normal quantile z
 * (Wilson and Hilferty, "The distribution of chi-square", 1931). Good to 1 % from shape 1/2 on. */
static double gamma_quantile(double shape, double z)
{
	double root = 1.0 - 1.0 / (9.0 * shape) + z / (3.0 * sqrt(shape));
	return root > 0 ? shape * root * root * root : 0;
}

struct ma_interval ma_interval_95(double value, double variance)
{
	if (!(value > 0))
		return (struct ma_interval){0, 0};
	if (!(variance > 0) || !isfinite(variance))
		return (struct ma_interval){value, value};
	double shape = value * value / variance + 0.5;
	double scale = variance / value;
	double low = scale * gamma_quantile(shape, -Z_95);
	double high = scale * gamma_quantile(shape, Z_95);
	/* Far out in either tail the approximation may cross the estimate itself: never claim that.
	 */
	return (struct ma_interval){low < value ? low : value, high > value ? high : value};
}
