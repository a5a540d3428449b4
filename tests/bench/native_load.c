/* SPDX-License-Identifier: MIT */
/*
 * What bench_target.py does in C, through ctypes and without the GIL: threads that allocate and
 * free, and a thread that notes how long it was kept from running.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

enum { SLOTS = 64, MAX_THREADS = 256, NAP_NS = 200000 };

struct worker {
	pthread_t thread;
	uint64_t pairs; /* of malloc and free to do */
	uint64_t state;
	uint64_t cpu_ns;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Blocks of 16 to 1,039 bytes, 64 at a time. */
static void *work(void *argument)
{
	struct worker *worker = argument;
	void *volatile slots[SLOTS] = {0};
	uint64_t state = worker->state;

	for (uint64_t i = 0; i < worker->pairs; i++) {
		state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
		free(slots[i % SLOTS]);
		slots[i % SLOTS] = malloc(16 + (state >> 54));
	}
	for (int i = 0; i < SLOTS; i++)
		free(slots[i]);
	worker->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

/*
 * `pairs` by each of `threads` threads at once. Returns nanoseconds of CPU time per pair, averaged
 * over threads; negative: no thread could be made.
 */
EXPORT double load_threads(int threads, uint64_t pairs)
{
	static struct worker workers[MAX_THREADS];
	uint64_t cpu_ns = 0;
	int made = 0;

	for (; made < threads && made < MAX_THREADS; made++) {
		workers[made] = (struct worker){.pairs = pairs, .state = (uint64_t)made + 1};
		if (pthread_create(&workers[made].thread, NULL, work, &workers[made]))
			break;
	}
	for (int i = 0; i < made; i++) {
		pthread_join(workers[i].thread, NULL);
		cpu_ns += workers[i].cpu_ns;
	}
	return made ? (double)cpu_ns / ((double)made * (double)pairs) : -1;
}

static _Atomic uint64_t longest_gap_ns;
static _Atomic uint64_t naps;

static void *watch(void *argument)
{
	uint64_t last = clock_ns(CLOCK_MONOTONIC);

	(void)argument;
	for (;;) {
		struct timespec nap = {0, NAP_NS};
		uint64_t now, gap;

		nanosleep(&nap, NULL);
		now = clock_ns(CLOCK_MONOTONIC);
		gap = now - last - NAP_NS;
		if (gap > longest_gap_ns)
			longest_gap_ns = gap;
		last = now;
		naps++;
	}
	return NULL;
}

/* Begins to look for gaps, in a thread of its own. 0 = it runs. */
EXPORT int load_watch(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, watch, NULL);
}

/* The longest gap in nanoseconds beyond the nap itself, since the last call. */
EXPORT uint64_t load_gap_ns(void)
{
	return atomic_exchange(&longest_gap_ns, 0);
}

EXPORT uint64_t load_naps(void)
{
	return naps;
}
