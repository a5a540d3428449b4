/* SPDX-License-Identifier: MIT */
/*
 * Attaches the hook to the process that it is loaded into, without a tracer, for
 * hook_inside_target.py: maps area, gate and thunk page, fills the configuration as the injector
 * does from outside, loads the hook and calls its entry points. Loaded through ctypes; everything
 * here is called on one thread at a time, without the GIL or with it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "inject/hook/config.h"
#include "inject/hook/cpu.h"
#include "inject/hook/thunks.h"
#include "proto/area.h"
#include "proto/area_check.h"
#include "tests/unit/measured_tsc.h"

enum { EXACT_ARENA_PAGES = 1 << 18, PAGE = 4096, PYMEM_DOMAIN_OBJ = 2, PYMEM_DOMAIN_MEM = 1 };

int inside_attach(const char *hook, uint32_t mode, uint32_t interval_bytes, uint32_t small_limit,
		  uint32_t version);
int inside_detach(void);
int inside_pass(uint32_t kind);
struct ma_area *inside_area(void);
struct ma_hook_config *inside_config(void);
const char *inside_offsets(void);
int inside_take(struct ma_event *events, int max, uint64_t *addresses,
		struct ma_live_entry *entries, int max_live, int *live);
uint64_t inside_thunks_in(uint64_t low, uint64_t high);
int inside_tables_hold_thunks(void);
void inside_lease(uint64_t seconds);
double inside_pass_us(void);

typedef int hook_function(struct ma_hook_config *config);
typedef void domain_function(int domain, uint64_t *table);

static struct ma_hook_config *config;
static struct ma_area *area;
static uint8_t *thunks;
static void *hook_handle;
static uint64_t *gate;

static uint64_t address_of(void *pointer)
{
	return (uint64_t)(uintptr_t)pointer;
}

static void *map(size_t bytes, int protection, int flags)
{
	void *region = mmap(NULL, bytes, protection, flags | MAP_ANONYMOUS, -1, 0);

	return region == MAP_FAILED ? NULL : region;
}

static uint32_t find_tid_offset(void)
{
	const uint32_t *block = (const uint32_t *)ma_cpu_thread_pointer();
	uint32_t tid = (uint32_t)syscall(SYS_gettid);

	for (uint32_t i = 1; i < 1024; i++)
		if (block[i] == tid)
			return i * 4;
	return 0;
}

static bool map_thunks(void)
{
	struct ma_thunk_data *data;

	if (thunks)
		return true;
	thunks = map(2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	if (!thunks)
		return false;
	ma_thunk_code_fill(thunks);
	data = (struct ma_thunk_data *)(thunks + PAGE);
	data->magic = MA_THUNK_MAGIC;
	return mprotect(thunks, PAGE, PROT_READ | PROT_EXEC) == 0;
}

static bool map_area(uint32_t mode, uint32_t interval_bytes)
{
	uint64_t bytes = mode == MA_MODE_EXACT ? MA_AREA_EXACT_BYTES(EXACT_ARENA_PAGES)
					       : MA_AREA_SAMPLED_BYTES;

	area = map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
	if (!area)
		return false;
	area->ident.magic = MA_AREA_MAGIC;
	area->ident.version = MA_AREA_VERSION;
	area->ident.area_bytes = bytes;
	area->ident.mode = mode;
	area->ident.tsc_khz = measured_tsc_khz();
	area->ident.exact_heap_bytes = (uint64_t)EXACT_ARENA_PAGES * PAGE;
	area->control.interval_bytes = interval_bytes;
	area->control.enabled = 1;
	config->area = address_of(area);
	config->area_bytes = bytes;
	inside_lease(3600);
	return true;
}

static void find_functions(void)
{
	static const char *const names[] = MA_FN_NAMES;
	/* Not RTLD_DEFAULT: that may answer with the executable's PLT entry. */
	void *libc = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_LAZY);

	for (int fn = 0; fn < MA_FN_SYMBOLS; fn++)
		config->next[fn] = address_of(dlsym(libc, names[fn]));
	config->dlsym = address_of(dlsym(libc, "dlsym"));
	config->py_get_allocator = address_of(dlsym(RTLD_DEFAULT, "PyMem_GetAllocator"));
	config->py_set_allocator = address_of(dlsym(RTLD_DEFAULT, "PyMem_SetAllocator"));
	config->py_get_arena_allocator =
		address_of(dlsym(RTLD_DEFAULT, "PyObject_GetArenaAllocator"));
	config->py_set_arena_allocator =
		address_of(dlsym(RTLD_DEFAULT, "PyObject_SetArenaAllocator"));
	config->py_thread_state = address_of(dlsym(RTLD_DEFAULT, "PyGILState_GetThisThreadState"));
	config->py_runtime = address_of(dlsym(RTLD_DEFAULT, "_PyRuntime"));
}

static bool fill(uint32_t mode, uint32_t interval_bytes, uint32_t small_limit, uint32_t version)
{
	const struct ma_py_layout *layout = ma_py_layout_find(version);

	config = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	gate = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	if (!layout || !config || !gate || madvise(gate, PAGE, MADV_WIPEONFORK))
		return false;
	if (!map_thunks() || !map_area(mode, interval_bytes))
		return false;
	config->abi = MA_HOOK_ABI;
	config->mode = mode;
	config->gate = address_of(gate);
	config->thunk_code = address_of(thunks);
	config->thunk_data = address_of(thunks + PAGE);
	config->r_debug = address_of(&_r_debug);
	config->exe_phdr = getauxval(AT_PHDR);
	config->exe_phnum = getauxval(AT_PHNUM);
	config->layout = *layout;
	config->tid_offset = find_tid_offset();
	config->small_limit = small_limit;
	find_functions();
	return true;
}

static int call(const char *name)
{
	/* Through a variable: ISO C knows no cast from an object pointer to a function pointer. */
	uint64_t function = address_of(dlsym(hook_handle, name));

	return function ? ((hook_function *)function)(config) : -ENOSYS;
}

/* Runs a pass of this kind; returns the slots that it changed. */
int inside_pass(uint32_t kind)
{
	config->pass = kind;
	dlsym(hook_handle, "ma_hook_pass");
	config->pass = MA_PASS_NONE;
	return (int)config->slots_patched;
}

/* Does the loader still know the hook by its path? */
static bool is_known_by_path(void)
{
	for (const struct link_map *map_at = _r_debug.r_map; map_at; map_at = map_at->l_next)
		if (strstr(map_at->l_name, "/hook_ie.so") || strstr(map_at->l_name, "/hook_tp.so"))
			return true;
	return false;
}

/* 0, or the step that failed. */
int inside_attach(const char *hook, uint32_t mode, uint32_t interval_bytes, uint32_t small_limit,
		  uint32_t version)
{
	if (!fill(mode, interval_bytes, small_limit, version))
		return 1;
	config->tls_slots = strstr(hook, "hook_tp") != NULL;
	hook_handle = dlopen(hook, RTLD_NOW | RTLD_LOCAL);
	if (!hook_handle) {
		fprintf(stderr, "%s\n", dlerror());
		return 2;
	}
	config->dl_handle = address_of(hook_handle);
	if (call("ma_hook_prepare"))
		return 3;
	if (!inside_pass(MA_PASS_PATCH) || config->passes_failed)
		return 4;
	if (call("ma_hook_start"))
		return 5;
	return is_known_by_path() ? 6 : 0;
}

/* Stops, restores, unloads. Area and configuration stay to be looked at. 0 or the step that failed.
 */
int inside_detach(void)
{
	if (call("ma_hook_stop"))
		return 1;
	inside_pass(MA_PASS_RESTORE);
	return dlclose(hook_handle) ? 2 : 0;
}

struct ma_area *inside_area(void)
{
	return area;
}

struct ma_hook_config *inside_config(void)
{
	return config;
}

/* Where the parts of the area are, for a reader that cannot include area.h: "name=offset ...". */
const char *inside_offsets(void)
{
	static char text[1024];

	snprintf(
		text, sizeof text,
		"control=%zu counters=%zu code_map=%zu sites=%zu stack_log=%zu code_log=%zu "
		"stack_used=%zu code_used=%zu site_count=%zu exact=%zu exact_sites=%zu threads=%zu "
		"sequence=%zu "
		"slots_patched=%zu slots_foreign=%zu tables_foreign=%zu passes_failed=%zu "
		"hook_base=%zu hook_end=%zu next=%zu",
		offsetof(struct ma_area, control), offsetof(struct ma_area, counters),
		offsetof(struct ma_area, tables.code_map), offsetof(struct ma_area, tables.sites),
		offsetof(struct ma_area, tables.stack_log),
		offsetof(struct ma_area, tables.code_log),
		offsetof(struct ma_area, tables.stack_used),
		offsetof(struct ma_area, tables.code_used),
		offsetof(struct ma_area, tables.site_count), offsetof(struct ma_area, exact),
		offsetof(struct ma_area, exact.sites), offsetof(struct ma_area, threads),
		offsetof(struct ma_area, sequence), offsetof(struct ma_hook_config, slots_patched),
		offsetof(struct ma_hook_config, slots_foreign),
		offsetof(struct ma_hook_config, tables_foreign),
		offsetof(struct ma_hook_config, passes_failed),
		offsetof(struct ma_hook_config, hook_base),
		offsetof(struct ma_hook_config, hook_end), offsetof(struct ma_hook_config, next));
	return text;
}

static int take(struct ma_event *events, int max)
{
	int count = 0;

	for (int i = 0; i < MA_RINGS; i++) {
		uint64_t lost;
		int taken = ma_ring_take(&area->rings[i], events + count, max - count, &lost);

		if (taken < 0 || lost)
			return -1;
		for (int j = 0; j < taken; j++)
			if (ma_event_check(&events[count + j]))
				return -1;
		count += taken;
	}
	return count;
}

/*
 * Takes up to max events out of the rings, not in order, and copies the live set; of one moment
 * when no other thread allocates. Returns the number of events; negative: a ring is broken.
 */
int inside_take(struct ma_event *events, int max, uint64_t *addresses,
		struct ma_live_entry *entries, int max_live, int *live)
{
	*live = 0;
	for (uint32_t bucket = 0; bucket < MA_LIVE_BUCKETS; bucket++)
		for (int way = 0; way < MA_LIVE_WAYS && *live < max_live; way++)
			*live += ma_live_copy(&area->live, bucket, way, &addresses[*live],
					      &entries[*live]) == 1;
	return take(events, max);
}

/* How many words of this memory hold the address of a thunk. */
uint64_t inside_thunks_in(uint64_t low, uint64_t high)
{
	uint64_t first = config->thunk_code;
	uint64_t count = 0;

	for (uint64_t at = low; at < high; at += 8)
		count += *(const uint64_t *)at - first < MA_FN_COUNT * MA_THUNK_BYTES;
	return count;
}

/* Bit per domain whose table's function words are thunks, but for `free` where blocks are promoted.
 */
int inside_tables_hold_thunks(void)
{
	domain_function *get = (domain_function *)config->py_get_allocator;
	uint64_t wanted = config->promotes ? 3 : 4;
	int bits = 0;

	for (int domain = PYMEM_DOMAIN_MEM; domain <= PYMEM_DOMAIN_OBJ; domain++) {
		uint64_t table[5];

		get(domain, table);
		if (inside_thunks_in(address_of(table), address_of(table + 5)) == wanted)
			bits |= 1 << domain;
	}
	return bits;
}

/* Renews the lease as the daemon does; 0 = it has run out. */
void inside_lease(uint64_t seconds)
{
	area->control.lease_tsc =
		seconds ? ma_cpu_ticks() + seconds * 1000 * area->ident.tsc_khz : 0;
}

/* Microseconds of a patch pass that finds nothing new. */
double inside_pass_us(void)
{
	double best = 1e9;

	for (int i = 0; i < 20; i++) {
		struct timespec from, to;
		double us;

		clock_gettime(CLOCK_MONOTONIC, &from);
		inside_pass(MA_PASS_PATCH);
		clock_gettime(CLOCK_MONOTONIC, &to);
		us = (double)(to.tv_sec - from.tv_sec) * 1e6 +
		     (double)(to.tv_nsec - from.tv_nsec) / 1e3;
		best = us < best ? us : best;
	}
	return best;
}
