/* SPDX-License-Identifier: MIT */
/*
 * The 95 % confidence interval of an estimate that a snapshot carries with its variance; one
 * function, so that every view, report and test states the same interval.
 *
 * Method: a Horvitz-Thompson sum is treated as a scaled Poisson variable, as if m = value^2 /
 * variance equal samples of weight variance / value had been drawn, and the interval is the central
 * 95 % of the gamma distribution with shape m + 1/2 (Jeffreys' interval of a Poisson mean), scaled
 * back; quantiles by Wilson and Hilferty's cube. With many samples this becomes value +- 1.96
 * standard deviations; with few it is skewed as it must be: the lower end stays above 0 and the
 * upper end is further away. Below about 5 samples it is a rough statement, and readers should say
 * so.
 */
#ifndef MA_PROTO_INTERVAL_H
#define MA_PROTO_INTERVAL_H

struct ma_interval {
	double low;
	double high;
};

/*
 * The interval of an estimate `value` >= 0 with its estimated variance, in the same unit squared. A
 * variance of 0 or less (exact figures) gives [value, value]. A value of 0 gives [0, 0]: what was
 * never sampled has no estimate; it may be up to about 3 sampling intervals with 95 % confidence.
 * Pure function, any thread.
 */
struct ma_interval ma_interval_95(double value, double variance);

#endif
