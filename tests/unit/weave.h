/* SPDX-License-Identifier: MIT */
/*
 * Runs real code under every interleaving of its accesses to shared memory. The code under test is
 * compiled with -fsanitize=thread, but not linked with that sanitizer's library: each of its calls
 * before a load, a store or an atomic operation comes here instead, and is a point at which any
 * other thread may go on. Threads are coroutines of one; what is shared is declared.
 *
 * Memory is sequentially consistent here. That acquire and release are where they must be is what
 * the same code under the real sanitizer shows.
 */
#ifndef MA_TEST_WEAVE_H
#define MA_TEST_WEAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WEAVE_THREADS = 4, WEAVE_RANGES = 4 };

struct weave_case {
	int threads;
	void (*thread[WEAVE_THREADS])(void);
	unsigned mortal; /* bit t: thread t may die at any of its points, for good */
	/* The memory whose accesses are points, and the part of it that matters. */
	struct {
		void *start;
		size_t bytes;
	} shared[WEAVE_RANGES], state[WEAVE_RANGES];
	void (*setup)(void);        /* before each run: everything as at the beginning */
	const char *(*check)(void); /* after each run: NULL, or what is wrong */
};

struct weave_result {
	uint64_t runs;      /* to an end, or to a state that was seen before */
	uint64_t ends;      /* of those: to an end */
	uint64_t states;    /* different ones */
	const char *broken; /* what check said first; NULL = never anything */
};

/* Explores all of it, or until check objects. */
void weave_explore(const struct weave_case *weave, struct weave_result *result);

/* In a thread, between accesses: is that thread dead? */
bool weave_is_dead(int thread);

#endif
