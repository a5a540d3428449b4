/* SPDX-License-Identifier: MIT */
/* The clocks that the daemon reads. Any thread. */
#ifndef MA_DAEMON_CLOCK_H
#define MA_DAEMON_CLOCK_H

#include <stdint.h>

uint64_t ma_clock_monotonic_ns(void);
uint64_t ma_clock_realtime_ns(void);

/* The time-stamp counter: the clock of the hook's lease and of what its slow path costs. */
uint64_t ma_clock_tsc(void);

#endif
