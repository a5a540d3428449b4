/* SPDX-License-Identifier: MIT */
/*
 * By how much the highest estimate of a run overstates the peak. An estimate that fluctuates around
 * a constant truth has maxima above it, the higher the longer one looks; what is then called the
 * peak was chosen for its error. To know that error, every sample is given at random to one of two
 * halves, which are like two samplers of half the rate that know nothing of each other (a large
 * block may be in both). When one half has its maximum, the other says what there was, without
 * having had a part in the choice; the difference between the two is what choosing adds.
 * docs/estimates.md has the derivation and how well it does.
 */
#ifndef MA_DAEMON_HALVES_H
#define MA_DAEMON_HALVES_H

#include <stdint.h>

#include "daemon/estimate.h"

/* Estimates of the whole by each half, in 1/MA_BYTES_UNITS bytes. Zero-initialise, then use. */
struct ma_halves {
	uint64_t live[2];
	uint64_t top[2];   /* its maximum so far */
	uint64_t other[2]; /* what the other half said then */
};

/* A number at random that belongs to one allocation: the same when it is made, freed or found. Or
 * to one window, if in place of an address its exponent is given. */
uint32_t ma_halves_coin(uint64_t address, uint32_t birth_ms);

/* What decides which halves a sample is in: they must have no more windows in common than two
 * samplers would. */
struct ma_halves_coins {
	uint32_t sample;
	uint32_t window;
};

/* Adds the sample to its half, or takes it out. Daemon loop, as all here. */
void ma_halves_add(struct ma_halves *halves, const struct ma_weight *weight,
		   struct ma_halves_coins coins, uint64_t size_bytes);
void ma_halves_take(struct ma_halves *halves, const struct ma_weight *weight,
		    struct ma_halves_coins coins, uint64_t size_bytes);

/* The live values are taken anew: forgets them, the maxima stay. */
void ma_halves_forget(struct ma_halves *halves);

/* Looks whether a half has a new maximum. */
void ma_halves_look(struct ma_halves *halves);

/* How far the highest estimate of both together is above the peak, in bytes; not negative. */
double ma_halves_excess(const struct ma_halves *halves);

#endif
