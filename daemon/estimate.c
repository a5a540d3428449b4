/* SPDX-License-Identifier: MIT */
/* Horvitz-Thompson weights of samples; see estimate.h for the mathematics. */
#include "daemon/estimate.h"

#include <math.h>

#define MAX_SIZE_BYTES (UINT64_C(1) << 47) /* the address space of an x86-64 program */

void ma_estimate_weight(uint64_t size_bytes, uint32_t interval_bytes, struct ma_weight *weight)
{
	uint64_t size = size_bytes ? size_bytes : 1;
	if (size > MAX_SIZE_BYTES)
		size = MAX_SIZE_BYTES;
	if (interval_bytes == 0) {
		*weight =
			(struct ma_weight){.bytes = size * MA_BYTES_UNITS, .count = MA_COUNT_UNITS};
		return;
	}
	/* expm1 keeps all digits of p where k is a tiny part of R; there 1 - exp() would keep none.
	 */
	double k = (double)size;
	double p = -expm1(-k / (double)interval_bytes);
	double inverse = 1.0 / p;
	double spread = (1.0 - p) * inverse * inverse;
	weight->bytes = (uint64_t)(k * inverse * MA_BYTES_UNITS + 0.5);
	weight->count = (uint64_t)(inverse * MA_COUNT_UNITS + 0.5);
	weight->bytes_variance = k * k * spread;
	weight->count_variance = spread;
}
