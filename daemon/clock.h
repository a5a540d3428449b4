/* SPDX-License-Identifier: MIT */
/* The clocks that the daemon reads. Any thread. */
#ifndef MA_DAEMON_CLOCK_H
#define MA_DAEMON_CLOCK_H

#include <stdint.h>

uint64_t ma_clock_monotonic_ns(void);
uint64_t ma_clock_realtime_ns(void);

/* What this thread has worked, waiting not counted: on a busy machine work that is limited by this
 * clock gets on. */
uint64_t ma_clock_worked_ns(void);

/* The time-stamp counter: the clock of the hook's lease and of what its slow path costs. */
uint64_t ma_clock_tsc(void);

#endif
