/* SPDX-License-Identifier: MIT */
/*
 * The entry points of site.h: they hold the configuration and join the walks (frames.c, unwind.c)
 * with the tables (codes.c, intern.c).
 */
#include "inject/hook/site.h"
#include "inject/hook/cpu.h"
#include "inject/hook/filter.h"
#include "inject/hook/path_quick.h"
#include "inject/hook/python_memory.h"
#include "inject/hook/tables.h"
#include "inject/hook/unwind.h"

/*
 * Set by ma_hook_frames_init, before any thread comes through a hook; constant afterwards, but for
 * the unwinder's cache and the guide's generation.
 */
static struct {
	const struct ma_hook_config *config;
	struct ma_area *area;
	uint64_t second_ticks;
	struct ma_path_guide guide;
	struct ma_path *paths; /* by thread slot; NULL = none are kept */
	struct ma_unwinder unwinder;
} site;

void ma_hook_frames_init(const struct ma_hook_config *config)
{
	struct ma_tables *tables;
	uint64_t fresh;

	site.config = config;
	site.area = (struct ma_area *)(uintptr_t)config->area;
	site.second_ticks = (uint64_t)site.area->ident.tsc_khz * 1000;
	if (!site.second_ticks)
		site.second_ticks = UINT64_C(1) << 32; /* about a second of today's processors */
	tables = &site.area->tables;
	ma_unwind_init(&site.unwinder, config);
	/* Id 0 means none, in both logs. */
	fresh = 0;
	__atomic_compare_exchange_n(&tables->stack_used, &fresh, 1, false, __ATOMIC_RELEASE,
				    __ATOMIC_RELAXED);
	fresh = 0;
	__atomic_compare_exchange_n(&tables->code_used, &fresh, 1, false, __ATOMIC_RELEASE,
				    __ATOMIC_RELAXED);
}

/* What the lock shows while this thread has it: its id, or something else that is not 0. */
static uint32_t lock_owner(void)
{
	uint64_t thread = ma_cpu_thread_pointer();
	uint32_t tid = 0;

	if (site.config->tid_offset)
		tid = ma_py_int(thread, site.config->tid_offset);
	return tid ? tid : (uint32_t)(thread >> 4) | 1u << 31;
}

void ma_hook_paths_init(void *memory)
{
	struct ma_call_tree *tree = memory;
	uint64_t call_ticks = (uint64_t)site.area->ident.tsc_khz *
			      ma_path_call_ns(site.config->layout.version) / 1000000;

	site.guide = (struct ma_path_guide){
		.area = site.area,
		.config = site.config,
		.tree = tree,
		.frames_per_tick = call_ticks ? (UINT64_C(1) << 32) / call_ticks : UINT64_MAX,
	};
	/* A path says nothing about native frames. */
	site.paths = tree && !site.unwinder.area ? (struct ma_path *)(tree + 1) : NULL;
}

/* Walks and interns. walk->frames is the caller's. */
static uint32_t site_of(struct ma_walk *walk, uint8_t domain, uint8_t thread_slot)
{
	/* In exact mode nothing is to be lost because another thread is at the tables. */
	struct ma_writer writer = {
		.owner = lock_owner(),
		.patient = site.config->mode == MA_MODE_EXACT,
		.second_ticks = site.second_ticks,
		.sees_frees = !site.config->promotes,
	};
	struct ma_counters *counters = &site.area->counters;

	ma_frames_walk(site.area, site.config, &writer, walk);
	if (walk->flags & MA_STACK_TRUNCATED)
		ma_counter_add(&counters->stacks_truncated, 1);
	if (walk->flags & (MA_STACK_BROKEN | MA_STACK_FINALIZING | MA_STACK_FOREIGN))
		ma_counter_add(&counters->stacks_broken, 1);
	if (!walk->busy)
		ma_unwind_walk(&site.unwinder, site.area, walk);
	return ma_intern_site(site.area, &writer, walk, domain, thread_slot);
}

uint32_t ma_hook_site(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	struct ma_walk walk = {.frames = scratch};

	return site_of(&walk, domain, thread_slot);
}

/* The path of a thread that has a slot to itself; NULL = none is kept. */
static struct ma_path *path_of(uint8_t thread_slot)
{
	return site.paths && thread_slot ? &site.paths[thread_slot % MA_THREAD_SLOTS] : NULL;
}

/* Node of the calling tree, or NULL. */
static struct ma_call_node *node_of(uint32_t node)
{
	if (node == MA_CALL_NONE || node == MA_CALL_ROOT)
		return NULL;
	return &site.guide.tree->nodes[node % MA_CALL_NODES];
}

/* The same as ma_hook_site_known, of a path that leads to `node`. */
static uint32_t find_site(uint32_t node_id, uint8_t domain, uint8_t thread_slot)
{
	struct ma_tables *tables = &site.area->tables;
	struct ma_call_node *node = node_of(node_id);
	uint32_t known, stack;

	if (!node) /* where no Python runs */
		return ma_intern_find(tables, 0, domain, thread_slot);
	known = __atomic_load_n(&node->site[domain - 1], __ATOMIC_RELAXED);
	if (known && tables->sites[known % MA_SITES].thread == thread_slot)
		return known;
	stack = __atomic_load_n(&node->stack, __ATOMIC_RELAXED);
	if (!stack)
		return 0;
	known = ma_intern_find(tables, stack, domain, thread_slot);
	__atomic_store_n(&node->site[domain - 1], known, __ATOMIC_RELAXED);
	return known;
}

/* Finds it, and keeps it with the path. */
static __attribute__((noinline)) uint32_t change_site(struct ma_path *path, uint32_t node,
						      uint8_t domain, uint8_t thread_slot)
{
	if (path->site_node != node)
		for (uint32_t i = 0; i < MA_CALL_DOMAINS; i++)
			path->site[i] = 0;
	/* Who is thrown out of here leaves no site of another node. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	path->site_node = node;
	path->site[domain - 1] = find_site(node, domain, thread_slot);
	return path->site[domain - 1];
}

/* ma_hook_site_known, of a path that has changed. */
static __attribute__((noinline)) uint32_t follow_site(struct ma_path *path, uint8_t domain,
						      uint8_t thread_slot)
{
	uint32_t node, found;

	if (ma_path_follow(&site.guide, path)) {
		node = ma_path_node(path);
		if (node == MA_CALL_NONE || node == MA_CALL_ROOT)
			return 0;
	} else if (path->bare) {
		node = MA_CALL_ROOT;
	} else {
		return 0;
	}
	if (path->site_node == node && path->site[domain - 1])
		return path->site[domain - 1];
	found = change_site(path, node, domain, thread_slot);
	if (found && node != MA_CALL_ROOT)
		ma_path_keep_turn(&site.guide, path);
	return found;
}

/* Where no word tells who holds the GIL, from 3.12 on: asks as the walk does. */
static __attribute__((noinline)) uint32_t ask_site(struct ma_path *path, uint8_t domain,
						   uint8_t thread_slot)
{
	uint32_t found = 0, flags = 0;
	uint64_t state;

	if (ma_path_is_quick(&site.guide, path) &&
	    ma_frames_innermost(site.config, &state, &flags) && state == path->state)
		found = ma_path_quick_site(&site.guide, false, path, domain);
	return found ? found : follow_site(path, domain, thread_slot);
}

uint32_t ma_hook_site_known(uint8_t domain, uint8_t thread_slot)
{
	struct ma_path *path = path_of(thread_slot);
	uint32_t found = 0;

	if (!path)
		return 0;
	if (site.config->layout.runtime_gil_holder == MA_PY_ABSENT)
		return ask_site(path, domain, thread_slot);
	if (ma_path_is_quick(&site.guide, path) && ma_path_holds_gil(&site.guide, path))
		found = ma_frames_are_objects(&site.config->layout)
				? ma_path_quick_site(&site.guide, true, path, domain)
				: ma_path_quick_site(&site.guide, false, path, domain);
	return found ? found : follow_site(path, domain, thread_slot);
}

uint32_t ma_hook_site_learn(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	struct ma_walk walk = {.frames = scratch};
	uint32_t found = site_of(&walk, domain, thread_slot);
	struct ma_path *path = path_of(thread_slot);
	struct ma_call_node *node = path && path->count ? node_of(ma_path_node(path)) : NULL;
	uint32_t stack = site.area->tables.sites[found % MA_SITES].stack;

	if (!node || !found || !stack || walk.flags || walk.busy)
		return found;
	__atomic_store_n(&node->stack, stack, __ATOMIC_RELAXED);
	__atomic_store_n(&node->site[domain - 1], found, __ATOMIC_RELAXED);
	return found;
}

void ma_hook_code_freed(uint64_t address)
{
	/* Where not all frees are seen, code objects are checked when they are met. */
	if (site.config->promotes || !ma_codes_remove(&site.area->tables, address))
		return;
	ma_filter_remove(site.area, address);
	__atomic_fetch_add(&site.guide.generation, 1, __ATOMIC_RELAXED);
}
