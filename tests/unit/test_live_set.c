/* SPDX-License-Identifier: MIT */
/* What is read from the live set while the target goes on: scan, recount after losses. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/ingest.h"
#include "daemon/ledger.h"
#include "daemon/live_scan.h"
#include "daemon/settle.h"
#include "fake_area.h"

static uint64_t address_of(uint64_t i)
{
	return UINT64_C(0x7f0000000000) + i * 4112;
}

/* The heap as a session has it: sums by events, and a recount now and then. */
struct counting {
	struct fake_area fake;
	struct ma_ingest ingest;
	struct ma_heap_state heap;
	struct ma_settle settle;
};

static void take(void *context, const struct ma_event *event)
{
	struct counting *counting = context;
	struct ma_heap_sample sample = {.size_bytes = event->size_bytes,
					.birth_ms = event->clock_ms,
					.site = event->site,
					.rate = event->rate,
					.domain = event->domain};
	if (ma_settle_active(&counting->settle))
		ma_settle_event(&counting->settle, event, &counting->heap);
	else if (event->kind == MA_EVENT_ALLOC)
		ma_heap_state_alloc(&counting->heap, &sample, event->clock_ms);
	else
		ma_heap_state_free(&counting->heap, &sample);
}

static void poll_rings(struct counting *counting)
{
	ma_ingest_poll(&counting->ingest, counting->fake.area->rings, 0, true, take, counting);
}

static void recount(struct counting *counting, uint32_t clock_ms)
{
	assert_true(ma_settle_prepare(&counting->settle));
	ma_heap_state_rebuild_begin(&counting->heap);
	ma_settle_begin(&counting->settle, counting->fake.area, clock_ms, &counting->heap);
	ma_heap_state_rebuild_end(&counting->heap, clock_ms);
}

enum { BLOCKS = 4000 };

/* One random step of the target; some frees are lost. Returns what is live by the live set. */
static void step(struct counting *counting, bool live[BLOCKS], bool may_lose)
{
	uint32_t i = (uint32_t)random() % BLOCKS;
	int ring = (int)(random() % MA_RINGS);
	uint64_t size = 16 + (uint64_t)(random() % 5) * 100;
	if (live[i])
		fake_area_free(&counting->fake, ring, address_of(i), !may_lose || random() % 3);
	else
		fake_area_alloc(&counting->fake, ring, address_of(i), size,
				1 + (uint32_t)(random() % 20), 65536);
	live[i] = !live[i];
}

static void add_live(void *context, uint64_t address, const struct ma_heap_sample *sample)
{
	(void)address;
	ma_heap_state_relive(context, sample);
}

static void assert_right(struct counting *counting)
{
	static struct ma_heap_state wanted;
	ma_heap_state_init(&wanted, MA_HEAP_SITE_LIMIT);
	ma_live_scan_sampled(counting->fake.area, add_live, &wanted);
	for (uint32_t site = 0; site <= 20; site++) {
		struct ma_site_view a, b;
		ma_heap_state_view(&counting->heap, site, &a);
		ma_heap_state_view(&wanted, site, &b);
		assert_true(a.live_bytes == b.live_bytes && a.live_count == b.live_count);
		assert_int_equal(a.live_samples, b.live_samples);
	}
	ma_heap_state_fini(&wanted);
}

/*
 * Frees are lost, and the recount happens while events of before and after it are still in the
 * rings: when those are through, sums by events are what the live set says.
 */
static void test_recount_amid_events(void **state)
{
	(void)state;
	static struct counting counting;
	static bool live[BLOCKS];
	srandom(11);
	memset(&counting, 0, sizeof counting);
	fake_area_init(&counting.fake, MA_MODE_SAMPLED, 0);
	ma_heap_state_init(&counting.heap, MA_HEAP_SITE_LIMIT);
	assert_true(ma_ingest_init(&counting.ingest, 1));
	for (int round = 0; round < 50; round++) {
		for (int i = 0; i < 2000; i++)
			step(&counting, live, true);
		if (round % 2)
			poll_rings(&counting);
		recount(&counting, (uint32_t)round * 2000);
		for (int i = 0; i < 500; i++)
			step(&counting, live, false);
		poll_rings(&counting);
		assert_right(&counting);
		ma_settle_tick(&counting.settle, counting.ingest.next,
			       (uint32_t)round * 2000 + 999);
		assert_true(ma_settle_active(&counting.settle));
		ma_settle_tick(&counting.settle, counting.ingest.next,
			       (uint32_t)round * 2000 + 1000);
		assert_false(ma_settle_active(&counting.settle));
		for (int i = 0; i < 500; i++)
			step(&counting, live, false);
		poll_rings(&counting);
		assert_right(&counting);
	}
	assert_int_equal(counting.heap.unbalanced, 0);
	ma_settle_fini(&counting.settle);
	ma_ingest_fini(&counting.ingest);
	ma_heap_state_fini(&counting.heap);
	fake_area_fini(&counting.fake);
}

static void add_to_ledger(void *context, uint64_t address, const struct ma_heap_sample *sample)
{
	(void)address;
	ma_ledger_add(context, sample);
}

static double held_bytes(const struct ma_ledger *ledger, uint32_t latest, uint32_t site)
{
	static struct ma_heap_state held;
	struct ma_site_view view;
	ma_heap_state_init(&held, MA_HEAP_SITE_LIMIT);
	ma_ledger_held(ledger, latest, &held);
	ma_heap_state_view(&held, site, &view);
	ma_heap_state_fini(&held);
	return view.live_bytes;
}

static void test_exact_scan_and_ledger(void **state)
{
	(void)state;
	struct fake_area fake;
	struct ma_ledger ledger = {0};
	fake_area_init(&fake, MA_MODE_EXACT, 4096);
	for (uint64_t i = 0; i < 1000; i++)
		fake_area_exact_alloc(&fake, (UINT64_C(0x7f) << 40) + i * 4112 / 16 * 16, 100 + i,
				      1 + i % 2, (uint32_t)i * 10);
	fake_area_exact_alloc(&fake, 0x2000000, UINT64_C(5) << 32, 3, 20);
	ma_ledger_begin(&ledger, 10000);
	ma_live_scan_exact(fake.area, fake.bytes - sizeof *fake.area, add_to_ledger, &ledger);
	assert_true(ledger.count <= 2 * MA_LEDGER_BIRTHS + 1);
	assert_true(held_bytes(&ledger, 10000, 3) == 5.0 * 4294967296.0);
	assert_true(held_bytes(&ledger, 0, 3) == 0);
	double odd = 0, odd_early = 0;
	for (int i = 1; i < 1000; i += 2) {
		odd += 100 + i;
		odd_early += i < 500 ? 100 + i : 0;
	}
	assert_true(held_bytes(&ledger, 10000, 2) == odd);
	double early = held_bytes(&ledger, 5000, 2);
	assert_true(early <= odd_early && early > odd_early * 0.97);
	ma_ledger_fini(&ledger);
	/* Pages that refer to each other in circles, or nowhere: the scan ends. */
	for (uint32_t region = 0; region < MA_SHADOW_REGIONS; region += 7)
		fake.area->exact.regions[region] = 1 + region % 5000;
	for (uint32_t page = 0; page < MA_LARGE_PAGES; page++)
		fake.area->exact.larges[page] = page * 3;
	memset(fake.area + 1, 0x01, 128 * MA_PAGE_BYTES);
	memset((uint8_t *)(fake.area + 1) + 128 * MA_PAGE_BYTES, 0xff, 128 * MA_PAGE_BYTES);
	fake.area->exact.arena_pages_used = UINT32_MAX;
	ma_ledger_begin(&ledger, 10000);
	ma_live_scan_exact(fake.area, fake.bytes - sizeof *fake.area, add_to_ledger, &ledger);
	ma_ledger_fini(&ledger);
	fake_area_fini(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recount_amid_events),
		cmocka_unit_test(test_exact_scan_and_ledger),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
