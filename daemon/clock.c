/* SPDX-License-Identifier: MIT */
/* See clock.h. */
#include "daemon/clock.h"

#include <time.h>
#include <x86intrin.h>

static uint64_t read_ns(clockid_t clock)
{
	struct timespec now = {0};
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t ma_clock_monotonic_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

uint64_t ma_clock_realtime_ns(void)
{
	return read_ns(CLOCK_REALTIME);
}

uint64_t ma_clock_worked_ns(void)
{
	return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t ma_clock_tsc(void)
{
	return __rdtsc();
}
