/* SPDX-License-Identifier: MIT */
/* See halves.h. */
#include "daemon/halves.h"

#include <math.h>
#include <stdbool.h>

uint32_t ma_halves_coin(uint64_t address, uint32_t birth_ms)
{
	/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014). */
	uint64_t z = address ^ (uint64_t)birth_ms << 40 ^ birth_ms;
	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return (uint32_t)(z >> 32);
}

/* What a sample is worth to each half. */
struct share {
	uint64_t units[2];
};

/* Of what is taken with chance p, a half takes it with chance h, where 1 - p = (1 - h)^2: it is
 * missed when both miss it. */
static double half_of(double p)
{
	return p / (1.0 + sqrt(1.0 - p));
}

/* Of what was taken, h^2 / p is in both halves, and the rest in either with equal chances. */
static void decide(double p, uint32_t coin, bool in[2])
{
	double h = half_of(p);
	double place = ((double)coin + 0.5) / 4294967296.0;
	double both = h * h / p;
	in[0] = place < both + (1.0 - both) / 2;
	in[1] = place < both || !in[0];
}

/* A sample is in a half that has its window and would have taken it there. */
static struct share share_of(const struct ma_weight *weight, struct ma_halves_coins coins,
			     uint64_t size_bytes)
{
	double h = half_of(weight->chance) * half_of(weight->open);
	uint64_t units = (uint64_t)((double)size_bytes / h * MA_BYTES_UNITS + 0.5);
	bool drawn[2], open[2];
	decide(weight->chance, coins.sample, drawn);
	decide(weight->open, coins.window, open);
	return (struct share){{drawn[0] && open[0] ? units : 0, drawn[1] && open[1] ? units : 0}};
}

void ma_halves_add(struct ma_halves *halves, const struct ma_weight *weight,
		   struct ma_halves_coins coins, uint64_t size_bytes)
{
	struct share share = share_of(weight, coins, size_bytes);
	halves->live[0] += share.units[0];
	halves->live[1] += share.units[1];
}

void ma_halves_take(struct ma_halves *halves, const struct ma_weight *weight,
		    struct ma_halves_coins coins, uint64_t size_bytes)
{
	struct share share = share_of(weight, coins, size_bytes);
	for (int i = 0; i < 2; i++)
		halves->live[i] -=
			share.units[i] < halves->live[i] ? share.units[i] : halves->live[i];
}

void ma_halves_forget(struct ma_halves *halves)
{
	halves->live[0] = 0;
	halves->live[1] = 0;
}

void ma_halves_look(struct ma_halves *halves)
{
	for (int i = 0; i < 2; i++) {
		if (halves->live[i] <= halves->top[i])
			continue;
		halves->top[i] = halves->live[i];
		halves->other[i] = halves->live[1 - i];
	}
}

/*
 * A half's errors are sqrt(2) times those of the whole, so what choosing adds to it is sqrt(2)
 * times what it adds to the whole; both halves tell, the mean is taken.
 */
double ma_halves_excess(const struct ma_halves *halves)
{
	double difference = 0;
	for (int i = 0; i < 2; i++)
		difference += ((double)halves->top[i] - (double)halves->other[i]) / 2;
	return difference > 0 ? difference / (M_SQRT2 * MA_BYTES_UNITS) : 0;
}
