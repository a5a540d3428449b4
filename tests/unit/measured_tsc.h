/* SPDX-License-Identifier: MIT */
/* The frequency of the time stamp counter, for shims that play the injector. */
#ifndef MA_TEST_MEASURED_TSC_H
#define MA_TEST_MEASURED_TSC_H

#include <stdint.h>
#include <time.h>

#include "inject/hook/cpu.h"

/* Ticks a millisecond, measured for two of them. */
static inline uint32_t measured_tsc_khz(void)
{
	struct timespec start, now;
	uint64_t ticks = ma_cpu_ticks();
	int64_t ns;

	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		ns = (now.tv_sec - start.tv_sec) * 1000000000 + now.tv_nsec - start.tv_nsec;
	} while (ns < 2000000);
	return (uint32_t)((ma_cpu_ticks() - ticks) * 1000000 / (uint64_t)ns);
}

#endif
