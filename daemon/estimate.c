/* SPDX-License-Identifier: MIT */
/* Horvitz-Thompson weights of samples; see estimate.h for the mathematics. */
#include "daemon/estimate.h"

#include <math.h>

#include "proto/area.h"
#include "proto/size_rates.h"

#define MAX_SIZE_BYTES (UINT64_C(1) << 47) /* the address space of an x86-64 program */

/* p and the chance of the window; their product, and 1 less that with all its digits. */
struct chance {
	double drawn;
	double open;
	double taken;
	double missed;
};

static struct chance chance_of(double size_bytes, uint32_t rate)
{
	if (rate & MA_RATE_CHANCE) {
		double taken = ma_size_rate_chance(rate);
		return (struct chance){taken, 1, taken, 1.0 - taken};
	}
	/* expm1 keeps all digits of p where k is a tiny part of R; there 1 - exp() would keep none.
	 */
	double ratio = size_bytes / (double)MA_RATE_INTERVAL(rate);
	double drawn = -expm1(-ratio);
	double open = ldexp(1.0, -(int)MA_RATE_WINDOW(rate));
	return (struct chance){drawn, open, open * drawn, 1.0 - open + open * exp(-ratio)};
}

void ma_estimate_weight(uint64_t size_bytes, uint32_t rate, struct ma_weight *weight)
{
	uint64_t size = size_bytes ? size_bytes : 1;
	if (size > MAX_SIZE_BYTES)
		size = MAX_SIZE_BYTES;
	double k = (double)size;
	struct chance chance = rate ? chance_of(k, rate) : (struct chance){1, 1, 1, 0};
	/* A chance of 0 is no rate: whoever wrote it did not mean us to trust it. */
	if (!(chance.taken > 0))
		chance = (struct chance){1, 1, 1, 0};
	double inverse = 1.0 / chance.taken;
	double spread = chance.missed * inverse * inverse;
	double skew = spread * (1.0 + chance.missed) * inverse;
	*weight = (struct ma_weight){
		.bytes = (uint64_t)(k * inverse * MA_BYTES_UNITS + 0.5),
		.count = (uint64_t)(inverse * MA_COUNT_UNITS + 0.5),
		.bytes_variance = k * k * spread,
		.count_variance = spread,
		.bytes_third = k * k * k * skew,
		.count_third = skew,
		.chance = chance.drawn,
		.open = chance.open,
	};
}
