/* SPDX-License-Identifier: MIT */
/*
 * The 95 % confidence interval of an estimate that came from sampling; the one place where it is
 * computed, for every view, report and test. The method, why it is this one and how well it does
 * are in docs/estimates.md; in short:
 *
 * What a sample stands for is itself and the allocations like it that were missed. How many were
 * missed is not known; given the sample it has (with a flat prior) the negative binomial
 * distribution, whose mean, variance and third cumulant are known and add up over samples. A gamma
 * distribution with the same three describes the sum, skewed as it must be when few samples carry
 * it. What was looked at in windows of time (proto/area.h, MA_WINDOW) is uncertain together with
 * all else in them: `shared` says how much, and counts as if it came from equal windows.
 * Allocations of a kind of which no sample was drawn are accounted for by three quarters of a
 * sample of weight `unseen` in the upper end, and a quarter of one in the lower end.
 */
#ifndef MA_PROTO_INTERVAL_H
#define MA_PROTO_INTERVAL_H

/* An estimate. Values and cumulants of several (independent) ones add up, and so do the `shared`
 * ones, for they err together; of `unseen` the largest counts. */
struct ma_estimate {
	double value;
	double variance; /* 0: exact */
	double third;    /* third cumulant; 0 with a variance: not known, taken for that of equal
			  * samples */
	double unseen;   /* weight of a sample of what was not seen; 0: like what was seen */
	double shared;   /* standard deviation that is common to what was seen in the same windows;
			  * not in variance and third */
};

struct ma_interval {
	double low;
	double high;
};

/*
 * low <= value <= high, low >= 0. Exact figures (no variance, nothing unseen) give [value, value].
 * A value of 0 with `unseen` gives [0, 3.14 * unseen]. NaN and negative values give [0, 0]. Pure
 * function, any thread.
 */
struct ma_interval ma_interval_95(const struct ma_estimate *estimate);

/*
 * The interval of a number of allocations, beside the bytes that they have. How many allocations of
 * a kind there are of which no sample was drawn depends on their size, and that on nothing that was
 * seen: they are taken to be like the smallest that were. Without a sample nothing is known: [0,
 * 0].
 */
struct ma_interval ma_interval_95_of_count(const struct ma_estimate *count,
					   const struct ma_estimate *bytes);

/*
 * The interval of a peak that was corrected for being chosen as the highest estimate, which
 * exceeded it by `excess` (daemon/halves.h): from the corrected one's lower end to the highest
 * one's upper.
 */
struct ma_interval ma_interval_95_of_peak(const struct ma_estimate *peak, double excess);

/* Half the length of the interval of an estimate, for "38.2 +-2.8". */
double ma_interval_plus_minus(const struct ma_estimate *estimate);

/* Adds b to a. */
void ma_estimate_add(struct ma_estimate *a, const struct ma_estimate *b);

#endif
