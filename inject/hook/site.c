/* SPDX-License-Identifier: MIT */
/*
 * The entry points of site.h: they hold the configuration and join the walks (frames.c, unwind.c)
 * with the tables (codes.c, intern.c).
 */
#include "inject/hook/site.h"
#include "inject/hook/cpu.h"
#include "inject/hook/filter.h"
#include "inject/hook/python_memory.h"
#include "inject/hook/tables.h"
#include "inject/hook/unwind.h"

/* Set once by ma_hook_frames_init, before any thread comes through a hook; constant afterwards, but
 * for the unwinder's cache. */
static struct {
	const struct ma_hook_config *config;
	struct ma_area *area;
	uint64_t second_ticks;
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

uint32_t ma_hook_site(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	struct ma_writer writer = {.owner = lock_owner(), .second_ticks = site.second_ticks};
	struct ma_counters *counters = &site.area->counters;
	struct ma_walk walk = {.frames = scratch};

	ma_frames_walk(site.area, site.config, &writer, &walk);
	if (walk.flags & MA_STACK_TRUNCATED)
		ma_counter_add(&counters->stacks_truncated, 1);
	if (walk.flags & (MA_STACK_BROKEN | MA_STACK_FINALIZING | MA_STACK_FOREIGN))
		ma_counter_add(&counters->stacks_broken, 1);
	if (!walk.busy)
		ma_unwind_walk(&site.unwinder, site.area, &walk);
	return ma_intern_site(site.area, &writer, &walk, domain, thread_slot);
}

void ma_hook_code_freed(uint64_t address)
{
	if (ma_codes_remove(&site.area->tables, address))
		ma_filter_remove(site.area, address);
}
