/* SPDX-License-Identifier: MIT */
/*
 * A program with the hook in it, without the program: allocations that a simulation makes up go
 * through the hook's own entry points, slow paths, live set and rings, and from there through the
 * daemon's ingest into its heap state. What is measured on it is measured on the code that runs.
 * One at a time: the hook's state is global.
 */
#ifndef MA_TESTS_BENCH_SIMULATED_TARGET_H
#define MA_TESTS_BENCH_SIMULATED_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/heap_state.h"
#include "proto/area.h"

/* Maps the shared area. False: no memory. */
bool sim_open(void);

/* Begins a run with books that are empty. rates: for MA_MODE_CLASSES, else NULL. */
void sim_begin(uint64_t seed, enum ma_mode mode, uint32_t interval_bytes,
	       const struct ma_size_rate *rates);

/* The interval of draws from now on. */
void sim_set_interval(uint32_t interval_bytes);

/* The thread that allocates ends, and another one takes over. */
void sim_change_thread(void);

/* The next window of small objects (proto/area.h) has begun; start_ms: more than that of the last
 * one. The hook turns to it as it does in a program, when something is freed. */
void sim_window(uint32_t start_ms, uint32_t exponent, bool closed);

/* Allocations at a site (1 .. MA_SITES - 1); the result is an address. An object is made through
 * the word of Python's tables, of up to 512 bytes in windows. */
uint64_t sim_object(uint32_t site, uint64_t bytes);
uint64_t sim_malloc(uint32_t site, uint64_t bytes);
uint64_t sim_realloc(uint32_t site, uint64_t address, uint64_t bytes);
void sim_free(uint64_t address);

/* The daemon's books, with everything taken in. Valid until the next call of sim_begin. */
const struct ma_heap_state *sim_books(void);

/* Lets the daemon take in what there is; needed every thousand operations or so. */
void sim_poll(void);

/* What was lost on the way; anything but 0 spoils the run. */
uint64_t sim_losses(void);

/* Numbers at random, from the seed of the run. */
uint64_t sim_random(void);
double sim_uniform(void); /* 0 < u < 1 */

#endif
