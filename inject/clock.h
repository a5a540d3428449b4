/* SPDX-License-Identifier: MIT */
/*
 * Monotonic time in nanoseconds, for deadlines and durations. A deadline is a moment, so that it
 * can be handed down through several waits.
 */
#ifndef MA_INJECT_CLOCK_H
#define MA_INJECT_CLOCK_H

#include <stdint.h>
#include <time.h>

#define MA_NS_PER_US UINT64_C(1000)
#define MA_NS_PER_MS UINT64_C(1000000)
#define MA_NS_PER_S  UINT64_C(1000000000)

static inline uint64_t ma_clock_of(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * MA_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t ma_clock_ns(void)
{
	return ma_clock_of(CLOCK_MONOTONIC);
}

/* Sleeps; a signal may cut it short. For the pause between two looks at a condition. */
static inline void ma_clock_pause(uint64_t ns)
{
	struct timespec span = {(time_t)(ns / MA_NS_PER_S), (long)(ns % MA_NS_PER_S)};

	nanosleep(&span, NULL);
}

#endif
