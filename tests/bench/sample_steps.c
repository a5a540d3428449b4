/* SPDX-License-Identifier: MIT */
/*
 * What one sampled allocation costs, step by step: the hook's own functions, in the order in which
 * record.c calls them, on the stack of a Python that runs in this process, 30 Python frames and 60
 * native ones deep, with the tables that the daemon would give it.
 *
 *     sample_steps LIBPYTHON PREFIX            ns, median and 99th percentile
 *     sample_steps LIBPYTHON PREFIX ROUNDS     so many rounds, not timed, for counting instructions
 *
 * Between two samples the program writes to half a MiB of memory, as one would that allocates; and
 * in a second run it does not. Not a test: the figures are for reading.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inject/hook/cpu.h"
#include "inject/hook/filter.h"
#include "inject/hook/live.h"
#include "inject/hook/ring.h"
#include "inject/hook/sampler.h"
#include "inject/hook/tables.h"
#include "inject/hook/unwind.h"
#include "tests/unit/measured_tsc.h"
#include "tests/unit/own_unwind.h"

enum {
	ROUNDS = 20000,
	LIVE = 512, /* samples that are live at a time */
	PYTHON_FRAMES = 30,
	NATIVE_FRAMES = 60,
	CACHE_BYTES = 512 << 10,
	INTERVAL = 64 << 10,
	TID = 4711,
	SLOT = 1,
};

/* 17 frames of Python and a few of C for each of seven calls through reduce(); 13 more of Python.
 */
static const char script[] =
	"import ctypes, functools, os\n"
	"probe = ctypes.PYFUNCTYPE(None, ctypes.c_int)(int(os.environ['PROBE'], 16))\n"
	"def through_c(n):\n"
	"    if n == 0:\n"
	"        return probe(0)\n"
	"    return functools.reduce(lambda a, b: through_c(n - 1), [1, 2])\n"
	"def down(n):\n"
	"    return through_c(7) if n == 0 else down(n - 1)\n"
	"down(13)\n";

static struct ma_area *area;
static struct ma_hook_config config;
static struct ma_unwinder unwinder;
static struct ma_writer writer = {.owner = TID, .second_ticks = UINT64_MAX};
static uint8_t *other_memory;
static uint32_t rounds_asked;

/* Of the sample that is being made. */
static struct {
	uint64_t random, left, address;
	struct ma_ring *ring;
	struct ma_walk walk;
	uint32_t site;
} now;

static __attribute__((noinline)) void step_draw(void)
{
	now.left = ma_sampler_draw(&now.random, INTERVAL);
}

static __attribute__((noinline)) void step_claim(void)
{
	now.ring = ma_ring_claim(area, TID, SLOT, false);
	if (!now.ring || !ma_ring_has_room(now.ring, 2))
		own_give_up("no ring");
}

static __attribute__((noinline)) void step_python(void)
{
	now.walk = (struct ma_walk){.frames = now.ring->frames};
	ma_frames_walk(area, &config, &writer, &now.walk);
}

static __attribute__((noinline)) void step_native(void)
{
	ma_unwind_walk(&unwinder, area, &now.walk);
}

static __attribute__((noinline)) void step_site(void)
{
	now.site = ma_intern_site(area, &writer, &now.walk, MA_DOMAIN_MALLOC, SLOT);
}

static __attribute__((noinline)) void step_live(void)
{
	struct ma_live_entry old, entry = {
					  .size_bytes = 100,
					  .site = now.site,
					  .rate = INTERVAL,
					  .domain = MA_DOMAIN_MALLOC,
				  };

	if (ma_live_enter(&area->live, now.address, &entry, &old) == MA_LIVE_ENTERED)
		ma_filter_add(area, now.address);
	else
		own_give_up("the live set is full");
}

static __attribute__((noinline)) void step_tell(void)
{
	struct ma_event event = {
		.address = now.address,
		.size_bytes = 100,
		.site = now.site,
		.rate = INTERVAL,
		.kind = MA_EVENT_ALLOC,
		.domain = MA_DOMAIN_MALLOC,
	};

	ma_ring_push(area, now.ring, &event);
	ma_ring_release(now.ring, TID);
}

static const struct {
	const char *name;
	void (*run)(void);
} steps[] = {
	{"draw", step_draw},     {"claim", step_claim}, {"python", step_python},
	{"native", step_native}, {"site", step_site},   {"live", step_live},
	{"tell", step_tell},
};

enum { STEPS = sizeof steps / sizeof steps[0], WHOLE = STEPS, EMPTY, KINDS };

static uint32_t ticks[KINDS][ROUNDS];

/* What happens between samples; `round` allocations ago is freed. */
static void pass_time(uint32_t round, bool busy)
{
	struct ma_live_entry entry;
	uint64_t gone = 0x7f0000000000 + (uint64_t)(round - LIVE) * 112;

	if (round >= LIVE && ma_live_take(&area->live, gone, UINT32_MAX, &entry))
		ma_filter_remove(area, gone);
	now.address = 0x7f0000000000 + (uint64_t)round * 112;
	for (int i = 0; i < MA_RINGS; i++)
		area->rings[i].tail = area->rings[i].head;
	for (uint32_t at = 0; busy && at < CACHE_BYTES; at += 64)
		other_memory[at]++;
}

static __attribute__((noinline)) void sample(void)
{
	for (int i = 0; i < STEPS; i++)
		steps[i].run();
}

static int ascending(const void *a, const void *b)
{
	uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;

	return (one > other) - (one < other);
}

static void show(const char *when, const char *name, int kind, double ns_a_tick)
{
	uint32_t empty = ticks[EMPTY][ROUNDS / 2];
	double percentiles[2];

	for (int i = 0; i < 2; i++) {
		uint32_t taken = ticks[kind][i ? ROUNDS - ROUNDS / 100 : ROUNDS / 2];

		percentiles[i] = taken > empty ? (taken - empty) * ns_a_tick : 0;
	}
	printf("%s %s %.1f %.1f\n", when, name, percentiles[0], percentiles[1]);
}

/* The whole and its steps in turns, so that what else the machine does falls on both. */
static void measure(bool busy)
{
	const char *when = busy ? "busy" : "warm";
	double ns_a_tick = 1e6 / measured_tsc_khz();
	uint32_t made = 0;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		uint64_t at, next;

		pass_time(made++, busy);
		at = ma_cpu_ticks();
		sample();
		ticks[WHOLE][round] = (uint32_t)(ma_cpu_ticks() - at);
		pass_time(made++, busy);
		at = ma_cpu_ticks();
		for (int i = 0; i < STEPS; i++, at = next) {
			steps[i].run();
			next = ma_cpu_ticks();
			ticks[i][round] = (uint32_t)(next - at);
		}
		ticks[EMPTY][round] = (uint32_t)(ma_cpu_ticks() - at);
	}
	for (int kind = 0; kind < KINDS; kind++)
		qsort(ticks[kind], ROUNDS, sizeof ticks[kind][0], ascending);
	for (int i = 0; i < STEPS; i++)
		show(when, steps[i].name, i, ns_a_tick);
	show(when, "whole", WHOLE, ns_a_tick);
	for (uint32_t round = made; round < made + LIVE; round++)
		pass_time(round, false);
}

static void run(void)
{
	uint32_t python = 0, native = 0;

	sample();
	for (uint32_t i = 0; i < now.walk.count; i++)
		*(MA_FRAME_IS_NATIVE(now.walk.frames[i]) ? &native : &python) += 1;
	printf("frames %u %u flags %u\n", python, native, now.walk.flags);
	for (uint32_t round = 0; round < rounds_asked; round++) {
		pass_time(round, false);
		sample();
	}
	if (rounds_asked)
		return;
	measure(true);
	measure(false);
}

/* Adds native frames until there are enough. */
static __attribute__((noinline)) void deepen(uint32_t levels)
{
	volatile uint32_t left = levels;

	if (left)
		deepen(left - 1);
	else
		run();
	left = 0;
}

/* Called by the script. */
static void probe(int number)
{
	uint64_t frames[MA_MAX_FRAMES];
	struct ma_walk walk = {.frames = frames};

	(void)number;
	ma_unwind_walk(&unwinder, area, &walk);
	if (walk.flags & MA_STACK_NATIVE_CUT) {
		own_unwind_publish(area->wants.stack);
		walk = (struct ma_walk){.frames = frames};
		ma_unwind_walk(&unwinder, area, &walk);
	}
	/* On the way from here to that walk there are two frames more. */
	deepen(walk.count + 2 < NATIVE_FRAMES ? NATIVE_FRAMES - 2 - walk.count : 0);
	fflush(stdout);
	_exit(0);
}

static void prepare(void *python)
{
	typedef const char *version_text(void);
	version_text *text = (version_text *)(uintptr_t)dlsym(python, "Py_GetVersion");
	const struct ma_py_layout *layout = NULL;
	uint32_t major, minor;

	if (text && sscanf(text(), "%u.%u", &major, &minor) == 2)
		layout = ma_py_layout_find(major << 8 | minor);
	area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	other_memory = calloc(1, CACHE_BYTES);
	if (!layout || area == MAP_FAILED || !other_memory)
		own_give_up("this Python is not known, or there is no memory");
	area->tables.stack_used = 1;
	area->tables.code_used = 1;
	config.layout = *layout;
	config.py_runtime = (uint64_t)(uintptr_t)dlsym(python, "_PyRuntime");
	config.py_thread_state =
		(uint64_t)(uintptr_t)dlsym(python, "PyGILState_GetThisThreadState");
	own_unwind_prepare(&config);
	ma_unwind_init(&unwinder, &config);
	now.address = 0x7e0000000000;
}

/* In a thread: valgrind says of such a stack where it is, but not of the first one. */
static void *run_python(void *library)
{
	typedef void initialize(void);
	typedef int run_script(const char *text);

	prepare(library);
	((initialize *)(uintptr_t)dlsym(library, "Py_Initialize"))();
	((run_script *)(uintptr_t)dlsym(library, "PyRun_SimpleString"))(script);
	own_give_up("the script did not come to its end");
}

int main(int count, char **arguments)
{
	pthread_t thread;
	char text[32];
	void *library;

	if (count < 3)
		own_give_up("sample_steps LIBPYTHON PREFIX [ROUNDS]");
	rounds_asked = count > 3 ? (uint32_t)strtoul(arguments[3], NULL, 10) : 0;
	library = dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL);
	if (!library)
		own_give_up("%s", dlerror());
	snprintf(text, sizeof text, "%p", (void *)(uintptr_t)probe);
	setenv("PROBE", text, 1);
	setenv("PYTHONHOME", arguments[2], 1);
	if (pthread_create(&thread, NULL, run_python, library))
		own_give_up("no thread");
	pthread_join(thread, NULL);
	return 1;
}
