/* SPDX-License-Identifier: MIT */
/*
 * The hook's frame walk and tables as an ordinary library, for hook_frames_target.py: it maps a
 * private area, takes the Python that it was loaded into for the target, and can sit in front of
 * Python's own object allocator, so that walks happen at every kind of moment and frees of code
 * objects are seen. Loaded through ctypes; everything here is called with the GIL held, except
 * shim_site where the test says so.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "inject/hook/cpu.h"
#include "inject/hook/filter.h"
#include "inject/hook/site.h"
#include "inject/hook/tables.h"
#include "tests/unit/measured_tsc.h"

/* PyMemAllocatorEx (Include/cpython/pymem.h), the same since 3.5. */
struct allocator {
	void *ctx;
	void *(*malloc)(void *ctx, size_t bytes);
	void *(*calloc)(void *ctx, size_t count, size_t bytes);
	void *(*realloc)(void *ctx, void *block, size_t bytes);
	void (*free)(void *ctx, void *block);
};

enum { PYMEM_DOMAIN_OBJ = 2 };

int shim_init(uint32_t version, uint64_t runtime, uint64_t thread_state);
uint32_t shim_site(uint32_t domain, uint32_t slot);
uint32_t shim_site_flags(void);
struct ma_area *shim_area(void);
const char *shim_offsets(void);
int64_t shim_debug_words_differing(uint32_t version);
void shim_install(void (*get)(int, struct allocator *), void (*set)(int, struct allocator *));
void shim_sample(uint32_t every);
void shim_uninstall(void (*set)(int, struct allocator *));
double shim_bench(uint32_t rounds);
void shim_fill(uint64_t stack_words_left, uint64_t code_words_left, uint32_t sites_left);
bool shim_paths(void);
void shim_compare(bool on);
void shim_compare_once(void);
uint64_t shim_compared(void);
uint64_t shim_found(void);
uint64_t shim_differing(void);

static struct ma_hook_config config;
static struct ma_area *area;
static struct allocator next;
static uint32_t sample_every, sample_countdown;
static bool inside;
static __thread uint64_t scratch[MA_MAX_FRAMES];

/* Of the comparison of walks with paths; each thread has a path of its own, as in the hook. */
static struct {
	bool on;
	struct ma_path *path; /* by slot */
	uint64_t compared, found, differing;
	uint32_t threads;
} paths;
static __thread uint8_t path_slot;

/* 0, or 1 = no layout for this version, 2 = no memory. */
int shim_init(uint32_t version, uint64_t runtime, uint64_t thread_state)
{
	const struct ma_py_layout *layout = ma_py_layout_find(version);

	if (!layout)
		return 1;
	area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return 2;
	config.area = (uint64_t)(uintptr_t)area;
	config.layout = *layout;
	config.py_runtime = runtime;
	config.py_thread_state = thread_state;
	ma_hook_frames_init(&config);
	return 0;
}

struct ma_area *shim_area(void)
{
	return area;
}

/* Where the parts of the area are, for a reader that cannot include area.h: "name=offset ...". */
const char *shim_offsets(void)
{
	static char text[512];

	snprintf(text, sizeof(text),
		 "counters=%zu code_map=%zu sites=%zu stack_log=%zu code_log=%zu stack_used=%zu "
		 "code_used=%zu site_count=%zu",
		 offsetof(struct ma_area, counters), offsetof(struct ma_area, tables.code_map),
		 offsetof(struct ma_area, tables.sites), offsetof(struct ma_area, tables.stack_log),
		 offsetof(struct ma_area, tables.code_log),
		 offsetof(struct ma_area, tables.stack_used),
		 offsetof(struct ma_area, tables.code_used),
		 offsetof(struct ma_area, tables.site_count));
	return text;
}

uint32_t shim_site(uint32_t domain, uint32_t slot)
{
	return ma_hook_site(scratch, (uint8_t)domain, (uint8_t)slot);
}

/* Flags of the site without a stack that a walk leads to now; 0 = it has a stack. */
uint32_t shim_site_flags(void)
{
	const struct ma_site *site = &area->tables.sites[shim_site(MA_DOMAIN_OBJECT, 1)];

	return site->stack ? 0 : site->flags;
}

/* Words of _Py_DebugOffsets that differ from the record; -1 when its cookie is not there. */
int64_t shim_debug_words_differing(uint32_t version)
{
	const char *runtime = (const char *)(uintptr_t)config.py_runtime;
	size_t count;
	const struct ma_py_debug_word *words = ma_py_layout_debug_words(version, &count);
	int64_t differing = 0;

	if (!count)
		return 0;
	if (memcmp(runtime, MA_PY_DEBUG_COOKIE, 8))
		return -1;
	for (size_t i = 0; i < count; i++) {
		uint64_t word;

		memcpy(&word, runtime + words[i].at, sizeof(word));
		differing += word >> words[i].shift != words[i].value;
	}
	return differing;
}

/* The free path as the hook has it: the filter first, then the code map. */
static void on_free(void *block)
{
	if (ma_filter_may_hold(area, (uint64_t)(uintptr_t)block))
		ma_hook_code_freed((uint64_t)(uintptr_t)block);
}

/* What the thread's path says, next to a walk of the whole stack at the same moment. */
static void compare_path(void)
{
	uint32_t walked, followed;
	struct ma_path *path;
	uint64_t ticks;

	if (!path_slot)
		path_slot = (uint8_t)(__atomic_add_fetch(&paths.threads, 1, __ATOMIC_RELAXED) %
					      (MA_THREAD_SLOTS - 1) +
				      1);
	path = &paths.path[path_slot];
	ticks = path->ticks;
	followed = ma_hook_site_known(MA_DOMAIN_OBJECT, path_slot);
	walked = ma_hook_site_learn(scratch, MA_DOMAIN_OBJECT, path_slot);
	paths.compared++;
	paths.found += followed != 0;
	paths.differing += followed && followed != walked;
	/* The comparison's own time must not count as time that Python had. */
	if (path->ticks != ticks)
		path->ticks = ma_cpu_ticks();
}

static void on_alloc(void)
{
	if (paths.on && !inside) {
		inside = true;
		compare_path();
		inside = false;
	}
	if (inside || !sample_every || --sample_countdown)
		return;
	inside = true;
	sample_countdown = sample_every;
	ma_counter_add(&area->counters.samples, 1);
	ma_hook_site(scratch, MA_DOMAIN_OBJECT, 1);
	inside = false;
}

static void *shim_malloc(void *ctx, size_t bytes)
{
	void *block = next.malloc(ctx, bytes);

	on_alloc();
	return block;
}

static void *shim_calloc(void *ctx, size_t count, size_t bytes)
{
	void *block = next.calloc(ctx, count, bytes);

	on_alloc();
	return block;
}

static void *shim_realloc(void *ctx, void *block, size_t bytes)
{
	on_free(block);
	block = next.realloc(ctx, block, bytes);
	on_alloc();
	return block;
}

static void shim_free(void *ctx, void *block)
{
	on_free(block);
	next.free(ctx, block);
}

/* Sits in front of the object allocator: sees frees, takes no sites until shim_sample. */
void shim_install(void (*get)(int, struct allocator *), void (*set)(int, struct allocator *))
{
	struct allocator ours;

	get(PYMEM_DOMAIN_OBJ, &next);
	ours = (struct allocator){next.ctx, shim_malloc, shim_calloc, shim_realloc, shim_free};
	set(PYMEM_DOMAIN_OBJ, &ours);
}

/* From now on a site for each so many allocations; 0 = none. */
void shim_sample(uint32_t every)
{
	sample_every = sample_countdown = every;
}

void shim_uninstall(void (*set)(int, struct allocator *))
{
	set(PYMEM_DOMAIN_OBJ, &next);
}

/* Gives the hook memory for paths. False: there is none. */
bool shim_paths(void)
{
	void *memory = mmap(NULL, MA_HOOK_PATHS_BYTES, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return false;
	area->ident.tsc_khz = measured_tsc_khz();
	ma_hook_paths_init(memory);
	paths.path = (struct ma_path *)((struct ma_call_tree *)memory + 1);
	return true;
}

/* From now on each allocation is a comparison, or none is. */
void shim_compare(bool on)
{
	paths.on = on;
}

/* One comparison, here. */
void shim_compare_once(void)
{
	compare_path();
}

uint64_t shim_compared(void)
{
	return paths.compared;
}

/* Comparisons in which the path knew the site. */
uint64_t shim_found(void)
{
	return paths.found;
}

uint64_t shim_differing(void)
{
	return paths.differing;
}

/* Nanoseconds of one shim_site at this depth, the best of several runs. */
double shim_bench(uint32_t rounds)
{
	double best = 1e9;

	for (int run = 0; run < 9; run++) {
		struct timespec from, to;
		double ns;

		clock_gettime(CLOCK_MONOTONIC, &from);
		for (uint32_t i = 0; i < rounds; i++)
			ma_hook_site(scratch, MA_DOMAIN_OBJECT, 1);
		clock_gettime(CLOCK_MONOTONIC, &to);
		ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
		if (ns / rounds < best)
			best = ns / rounds;
	}
	return best;
}

/* Makes the tables nearly full. */
void shim_fill(uint64_t stack_words_left, uint64_t code_words_left, uint32_t sites_left)
{
	area->tables.stack_used = MA_STACK_WORDS - stack_words_left;
	area->tables.code_used = MA_CODE_WORDS - code_words_left;
	area->tables.site_count = MA_SITES - MA_SITE_RESERVE - 1 - sites_left;
}
