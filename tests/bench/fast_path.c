/* SPDX-License-Identifier: MIT */
/*
 * What the hook adds to an allocation: nanoseconds for a pair of malloc and free, and of a made-up
 * Python object allocator's, without the hook, with it, with every allocation sampled, and in exact
 * mode. The hook is attached to this very program, whose "Python" are the few functions below.
 *
 *     fast_path HOOK                       all of it, best of several runs
 *     fast_path HOOK MODE PAIR ROUNDS      one of them, not timed, for counting instructions: MODE
 * is bare, sampled, each or exact, PAIR malloc or object
 *
 * Not a test: the figures are for reading.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inject/hook/config.h"
#include "proto/area.h"

enum {
	RUNS = 100,
	ROUNDS = 20000,
	BYTES = 64,
	SMALL_LIMIT = 512,
	MAX_EVENTS = MA_RINGS * MA_RING_EVENTS
};

/* Of tests/unit/hook_inside_shim.c. */
int inside_attach(const char *hook, uint32_t mode, uint32_t interval_bytes, uint32_t small_limit,
		  uint32_t version);
int inside_detach(void);
struct ma_area *inside_area(void);
int inside_take(struct ma_event *events, int max, uint64_t *addresses,
		struct ma_live_entry *entries, int max_live, int *live);

/* What the hook looks for in an interpreter. */
struct table {
	void *context;
	void *(*malloc)(void *context, size_t bytes);
	void *(*calloc)(void *context, size_t count, size_t size);
	void *(*realloc)(void *context, void *block, size_t bytes);
	void (*free)(void *context, void *block);
};

void PyMem_GetAllocator(int domain, struct table *table);
void PyMem_SetAllocator(int domain, const struct table *table);
void *PyGILState_GetThisThreadState(void);
extern uint64_t _PyRuntime[512];

uint64_t _PyRuntime[512];
static struct table tables[3];
static char blocks[1024][BYTES] __attribute__((aligned(16)));
static void *free_list;

/* About as quick as pymalloc: a list of free blocks; and as pymalloc does, what is large is
 * malloc's. */
static void *object_malloc(void *context, size_t bytes)
{
	void *block = free_list;

	(void)context;
	if (bytes > SMALL_LIMIT)
		return malloc(bytes);
	memcpy(&free_list, block, sizeof free_list);
	return block;
}

static void object_free(void *context, void *block)
{
	(void)context;
	if ((uintptr_t)block - (uintptr_t)blocks >= sizeof blocks) {
		free(block);
		return;
	}
	memcpy(block, &free_list, sizeof free_list);
	free_list = block;
}

/* Only grows what is on the list. */
static void *object_realloc(void *context, void *block, size_t bytes)
{
	void *moved = object_malloc(context, bytes);

	memcpy(moved, block, BYTES);
	object_free(context, block);
	return moved;
}

void PyMem_GetAllocator(int domain, struct table *table)
{
	*table = tables[domain];
}

void PyMem_SetAllocator(int domain, const struct table *table)
{
	tables[domain] = *table;
}

void *PyGILState_GetThisThreadState(void)
{
	return NULL;
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void malloc_pairs(uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++) {
		void *volatile block = malloc(BYTES);

		free(block);
	}
}

static void object_pairs(uint32_t rounds)
{
	const struct table *volatile table = &tables[2];

	for (uint32_t i = 0; i < rounds; i++) {
		void *volatile block = table->malloc(table->context, BYTES);

		table->free(table->context, block);
	}
}

static void drain(void)
{
	static struct ma_event events[MAX_EVENTS];
	int live;

	if (inside_area())
		inside_take(events, MAX_EVENTS, NULL, NULL, 0, &live);
}

/* Nanoseconds of one pair. */
static double best_of(void (*pairs)(uint32_t), uint32_t rounds)
{
	double best = 1e18;

	for (int run = 0; run < RUNS; run++) {
		double start;

		drain();
		start = now_ns();
		pairs(rounds);
		start = (now_ns() - start) / rounds;
		best = start < best ? start : best;
	}
	return best;
}

static void measure(const char *what, uint32_t rounds, double base[2])
{
	double malloc_ns = best_of(malloc_pairs, rounds);
	double object_ns = best_of(object_pairs, rounds);

	printf("%-22s malloc+free %7.2f ns (%+.2f)   object %7.2f ns (%+.2f)\n", what, malloc_ns,
	       malloc_ns - base[0], object_ns, object_ns - base[1]);
	if (!(base[0] > 0)) {
		base[0] = malloc_ns;
		base[1] = object_ns;
	}
}

struct mode {
	const char *name;
	const char *what;
	uint32_t mode; /* enum ma_mode, 0 = without the hook */
	uint32_t interval_bytes;
	uint32_t rounds;
};

static const struct mode modes[] = {
	{"bare", "without the hook", 0, 0, ROUNDS},
	{"default", "sampled at 64 KiB", MA_MODE_SAMPLED, 65536, ROUNDS},
	{"sampled", "sampled at 64 MiB", MA_MODE_SAMPLED, 64 << 20, ROUNDS},
	{"each", "each one sampled", MA_MODE_SAMPLED, 1, 1000},
	{"exact", "exact", MA_MODE_EXACT, 0, ROUNDS},
};

enum { MODES = sizeof modes / sizeof modes[0], DRAIN_EVERY = 500 };

static int attach(const char *hook, const struct mode *mode)
{
	int failed = mode->mode ? inside_attach(hook, mode->mode, mode->interval_bytes, SMALL_LIMIT,
						0x030b)
				: 0;

	if (failed)
		fprintf(stderr, "%s: attach failed at step %d\n", hook, failed);
	return failed;
}

static int measure_all(const char *hook)
{
	double base[2] = {0, 0};

	for (int i = 0; i < MODES; i++) {
		if (attach(hook, &modes[i]))
			return 1;
		measure(modes[i].what, modes[i].rounds, base);
		if (modes[i].mode && inside_detach())
			return 1;
	}
	return 0;
}

/* Rings are emptied as often in a long run as in a short one: once in so many rounds. */
static int repeat(const char *hook, const char *name, const char *pair, uint32_t rounds)
{
	void (*pairs)(uint32_t) = strcmp(pair, "malloc") == 0 ? malloc_pairs : object_pairs;

	for (int i = 0; i < MODES; i++) {
		if (strcmp(modes[i].name, name) != 0)
			continue;
		if (attach(hook, &modes[i]))
			return 1;
		for (uint32_t done = 0; done < rounds; done += DRAIN_EVERY) {
			pairs(DRAIN_EVERY);
			if (modes[i].mode == MA_MODE_SAMPLED && modes[i].interval_bytes == 1)
				drain();
		}
		return modes[i].mode ? inside_detach() : 0;
	}
	fprintf(stderr, "no mode %s\n", name);
	return 2;
}

int main(int argc, char **argv)
{
	if (argc != 2 && argc != 5) {
		fprintf(stderr, "usage: fast_path HOOK [MODE PAIR ROUNDS]\n");
		return 2;
	}
	for (int domain = 1; domain <= 2; domain++)
		tables[domain] = (struct table){
			.malloc = object_malloc, .realloc = object_realloc, .free = object_free};
	for (int i = 0; i < 1024; i++)
		object_free(NULL, blocks[i]);
	if (argc == 2)
		return measure_all(argv[1]);
	return repeat(argv[1], argv[2], argv[3], (uint32_t)strtoul(argv[4], NULL, 10));
}
