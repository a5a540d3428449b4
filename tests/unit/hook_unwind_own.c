/* SPDX-License-Identifier: MIT */
/*
 * The native walk on this process's own stacks, while a Python in it runs: the tables are the
 * daemon's, compiled from the files that are mapped here, and the pcs must be those that
 * _Unwind_Backtrace and libunwind find from the same place. With --bench: what a frame costs each
 * of them, in one run.
 *
 * hook_unwind_own LIBPYTHON PREFIX SCRIPT [--bench]. The script finds the probe's address in PROBE
 * and calls it with a number that names the place.
 */
#define UNW_LOCAL_ONLY
#include <dlfcn.h>
#include <libunwind.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unwind.h>

#include "inject/hook/unwind.h"
#include "own_unwind.h"

enum { ROUNDS = 15 };

static struct ma_unwinder unwinder;
static struct ma_area *area;
static uint64_t frames[MA_MAX_FRAMES];
static uint64_t others[MA_MAX_FRAMES];
static uint64_t stacks, walked, compared, differing;
static bool benching;

static _Unwind_Reason_Code note(struct _Unwind_Context *context, void *argument)
{
	uint32_t *count = argument;

	if (*count == MA_MAX_FRAMES)
		return _URC_END_OF_STACK;
	others[(*count)++] = _Unwind_GetIP(context);
	return _URC_NO_REASON;
}

static uint32_t walk_by_libgcc(void)
{
	uint32_t count = 0;

	_Unwind_Backtrace(note, &count);
	return count;
}

static uint32_t walk_by_libunwind(void)
{
	unw_context_t context;
	unw_cursor_t cursor;
	uint32_t count = 0;
	unw_word_t pc;

	unw_getcontext(&context);
	unw_init_local(&cursor, &context);
	do {
		unw_get_reg(&cursor, UNW_REG_IP, &pc);
		if (pc)
			others[count++] = pc;
	} while (count < MA_MAX_FRAMES && unw_step(&cursor) > 0);
	return count;
}

/* Is what another walk found from `skip` frames on what ours found? Its pcs are return addresses,
 * ours lie before them; ours begin in ma_unwind_walk and the probe. */
static void compare(const struct ma_walk *walk, uint32_t count, const char *who, int place_number)
{
	uint32_t at = 0;

	while (at < count && others[at] != MA_FRAME_NATIVE_PC(frames[2]) + 1)
		at++;
	compared++;
	for (uint32_t i = 2; i < walk->count; i++, at++)
		if (at >= count || others[at] != MA_FRAME_NATIVE_PC(frames[i]) + 1) {
			differing++;
			printf("place %d: frame %u of %u is %#lx, by %s %#lx\n", place_number, i,
			       walk->count, MA_FRAME_NATIVE_PC(frames[i]) + 1, who,
			       at < count ? others[at] : 0);
			return;
		}
	if (at == count)
		return;
	differing++;
	printf("place %d: %u frames, by %s %u more\n", place_number, walk->count, who, count - at);
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	double one = *(const double *)a, other = *(const double *)b;

	return one < other ? -1 : one > other;
}

static uint32_t walk_warm(void)
{
	struct ma_walk walk = {.frames = frames};

	ma_unwind_walk(&unwinder, area, &walk);
	return walk.count;
}

/* A publication makes everything that is remembered void. */
static uint32_t walk_cold(void)
{
	own_unwind_forget();
	return walk_warm();
}

static void bench(int place_number)
{
	static const struct {
		const char *name;
		uint32_t (*walk)(void);
		int times;
	} ways[] = {
		{"tables, warm", walk_warm, 400},
		{"tables, cold", walk_cold, 100},
		{"_Unwind_Backtrace", walk_by_libgcc, 20},
		{"libunwind", walk_by_libunwind, 20},
	};
	double ns[4][ROUNDS];
	uint32_t count[4];

	/* In turns, so that what else the machine does falls on all of them. */
	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < 4; i++) {
			double start = now_ns();

			for (int n = 0; n < ways[i].times; n++)
				count[i] = ways[i].walk();
			ns[i][round] = (now_ns() - start) / ways[i].times / count[i];
		}
	for (int i = 0; i < 4; i++) {
		qsort(ns[i], ROUNDS, sizeof ns[i][0], ascending);
		printf("place %d, %u frames, %-18s %7.1f ns a frame\n", place_number, count[i],
		       ways[i].name, ns[i][ROUNDS / 2]);
	}
}

/* Called by the script, from wherever it likes. */
__attribute__((noinline)) static void probe(int place_number)
{
	struct ma_walk walk = {.frames = frames};

	ma_unwind_walk(&unwinder, area, &walk);
	if (walk.flags & MA_STACK_NATIVE_CUT) {
		/* A module or a stack that is new; known the next time. */
		own_unwind_publish(area->wants.stack);
		walk = (struct ma_walk){.frames = frames};
		ma_unwind_walk(&unwinder, area, &walk);
	}
	stacks++;
	walked += walk.count;
	if (walk.flags || walk.count < 3) {
		differing++;
		printf("place %d: flags %#x after %u frames (pc %#lx, stack %#lx)\n", place_number,
		       walk.flags, walk.count, area->wants.pc, area->wants.stack);
		return;
	}
	compare(&walk, walk_by_libgcc(), "_Unwind_Backtrace", place_number);
	compare(&walk, walk_by_libunwind(), "libunwind", place_number);
	if (benching)
		bench(place_number);
}

static void prepare(void)
{
	struct ma_hook_config config = {0};

	area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		own_give_up("no area");
	own_unwind_prepare(&config);
	ma_unwind_init(&unwinder, &config);
}

int main(int count, char **arguments)
{
	typedef void initialize(void);
	typedef int run(const char *script);
	char text[32];
	void *python;

	if (count < 4)
		own_give_up("hook_unwind_own LIBPYTHON PREFIX SCRIPT [--bench]");
	benching = count > 4;
	setvbuf(stdout, NULL, _IOLBF, 0);
	prepare();
	python = dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL);
	if (!python)
		own_give_up("%s", dlerror());
	snprintf(text, sizeof text, "%p", (void *)probe);
	setenv("PROBE", text, 1);
	setenv("BENCH", benching ? "1" : "0", 1);
	setenv("PYTHONHOME", arguments[2], 1);
	((initialize *)dlsym(python, "Py_Initialize"))();
	if (((run *)dlsym(python, "PyRun_SimpleString"))(arguments[3]))
		return 1;
	printf("%lu stacks of %lu frames, %lu comparisons, %lu differing\n", stacks, walked,
	       compared, differing);
	return differing || !stacks;
}
