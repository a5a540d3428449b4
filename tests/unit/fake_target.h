/* SPDX-License-Identifier: MIT */
/*
 * A process to be tracked, whose hook is played by the test: a child of ours with a shared area, a
 * thunk page and allocator tables at addresses that the area's first page names. It does what a
 * byte on its pipe tells it.
 */
#ifndef MA_TESTS_FAKE_TARGET_H
#define MA_TESTS_FAKE_TARGET_H

#include <sys/types.h>

#include "fake_area.h"

enum fake_order {
	FAKE_REPLACE_TABLE = 't', /* another tool puts its functions into the OBJ table */
	FAKE_RESTORE_TABLE = 'r', /* and ours back */
	FAKE_REMOVE_HOOK = 'd',   /* the thunk page says: no hook */
	FAKE_EXEC = 'e',          /* becomes another program */
	FAKE_EXIT_3 = 'x',
};

struct fake_target {
	struct fake_area area;
	pid_t pid;
	int pidfd;
	int orders; /* write end of the pipe */
	int answers;
};

void fake_target_start(struct fake_target *target, enum ma_mode mode, uint32_t arena_pages);

/* Gives an order and waits until it is carried out (exec: until the new program runs). */
void fake_target_order(struct fake_target *target, enum fake_order order);

/* Kills with a signal and waits until the pidfd tells of it; the zombie is collected by end. */
void fake_target_kill(struct fake_target *target, int signal);

void fake_target_end(struct fake_target *target);

/* Fills tables and live set with a small heap; see fake_target.c. Returns its true sums. */
struct fake_heap {
	uint32_t leak_site;  /* leak (app.py:10) < main (app.py:1), object, thread 1: 100 x 65536 */
	uint32_t churn_site; /* churn (app.py:20) < main, malloc, thread 0: 50 x 1000, all freed */
	uint32_t native_site;                         /* no Python frame, malloc: 1 x 4096 */
	double leak_bytes, churn_bytes, native_bytes; /* estimates that are due */
};
struct fake_heap fake_target_fill(struct fake_target *target);

#endif
