/* SPDX-License-Identifier: MIT */
/* See hook_fake.h. */
#include "hook_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "inject/hook/entries.h"
#include "inject/hook/site.h"
#include "inject/hook/state.h"
#include "inject/hook/tls.h"
#include "proto/area_check.h"

struct ma_hook ma_hook;

void (*fake_during_site)(void);
uint64_t fake_code_freed;
struct ma_event fake_events[FAKE_EVENTS];

uint32_t ma_hook_site(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	scratch[0] = domain;
	assert_true(thread_slot < MA_THREAD_SLOTS);
	if (fake_during_site)
		fake_during_site();
	return FAKE_SITE;
}

uint32_t ma_hook_site_known(uint8_t domain, uint8_t thread_slot)
{
	(void)domain;
	(void)thread_slot;
	return 0;
}

uint32_t ma_hook_site_learn(uint64_t *scratch, uint8_t domain, uint8_t thread_slot)
{
	return ma_hook_site(scratch, domain, thread_slot);
}

/* Which no thunk here leads to. */
uint64_t ma_entry_address(enum ma_fn fn, enum ma_mode mode)
{
	(void)fn;
	(void)mode;
	return 0;
}

void ma_hook_code_freed(uint64_t address)
{
	fake_code_freed = address;
}

bool fake_begin(uint32_t mode, uint64_t area_bytes)
{
	static uint64_t gate[512];
	static struct ma_hook_config config;
	static struct ma_area *area;
	static uint64_t bytes;
	static uint32_t generation;

	if (area)
		munmap(area, bytes);
	bytes = area_bytes;
	area = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return false;
	area->control.enabled = 1;
	area->control.interval_bytes = 1;
	area->control.lease_tsc = UINT64_MAX;
	gate[0] = 1;
	config = (struct ma_hook_config){.mode = mode};
	ma_hook = (struct ma_hook){.gate = gate,
				   .area = area,
				   .small_limit = FAKE_SMALL_LIMIT,
				   .mode = mode,
				   .generation = ++generation,
				   .config = &config};
	fake_code_freed = 0;
	fake_during_site = NULL;
	*ma_tls() = (struct ma_tls){0};
	return true;
}

void fake_next(enum ma_fn fn, void (*function)(void))
{
	ma_hook.next[fn] = (uint64_t)(uintptr_t)function;
}

int fake_take(void)
{
	int count = 0;

	for (int i = 0; i < MA_RINGS; i++) {
		uint64_t lost;
		int taken = ma_ring_take(&ma_hook.area->rings[i], fake_events + count,
					 FAKE_EVENTS - count, &lost);

		assert_true(taken >= 0);
		count += taken;
	}
	for (int i = 0; i < count; i++)
		assert_int_equal(ma_event_check(&fake_events[i]), 0);
	return count;
}
