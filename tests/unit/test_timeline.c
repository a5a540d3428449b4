/* SPDX-License-Identifier: MIT */
/* The timeline stays bounded, keeps the newest exact, and its series say what the sites held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/timeline.h"

static struct ma_heap_state heap;
static const struct ma_heap_view view = {.state = &heap, .site_count = 2000};

static void add(struct ma_timeline *timeline, uint64_t second, double live)
{
	struct ma_timeline_point point = {.time_ns = second * 1000000000U,
					  .live_bytes = live,
					  .live_bytes_max = live,
					  .allocated_bytes = (double)second};
	ma_timeline_add(timeline, &point, &view);
}

static void test_bounded(void **state)
{
	(void)state;
	static struct ma_timeline timeline;
	ma_heap_state_init(&heap, MA_HEAP_SITE_LIMIT);
	struct ma_heap_sample sample = {.size_bytes = 100, .site = 1, .domain = 3};
	ma_heap_state_alloc(&heap, &sample, 0);
	enum { SECONDS = 60000, SPIKE = 1000 };
	for (uint64_t second = 1; second <= SECONDS; second++)
		add(&timeline, second, second == SPIKE ? 1e9 : 5);
	assert_true(timeline.count < MA_TIMELINE_TIER * 14);
	/* Times rise, spans do not, the newest is exact, nothing is left out. */
	double highest = 0;
	for (uint32_t i = 1; i < timeline.count; i++) {
		assert_true(timeline.points[i].time_ns > timeline.points[i - 1].time_ns);
		assert_true(timeline.points[i].tier <= timeline.points[i - 1].tier);
	}
	uint64_t behind = 0;
	for (uint32_t i = 0; i < timeline.count; i++) {
		const struct ma_timeline_point *point = &timeline.points[i];
		uint64_t end = point->time_ns / 1000000000U;
		assert_int_equal(end - behind, UINT64_C(1) << point->tier);
		assert_true(point->allocated_bytes == (double)end);
		if (behind < SPIKE && SPIKE <= end)
			highest = point->live_bytes_max;
		behind = end;
	}
	assert_int_equal(behind, SECONDS);
	assert_true(highest == 1e9);
	/* Resolution is a few percent of the age. */
	for (uint32_t i = 0; i < timeline.count; i++) {
		uint64_t age = SECONDS - timeline.points[i].time_ns / 1000000000U;
		uint64_t span = UINT64_C(1) << timeline.points[i].tier;
		assert_true(span == 1 || span * MA_TIMELINE_TIER / 2 <= age + span);
	}
	uint32_t first;
	assert_int_equal(ma_timeline_series(&timeline, 0, &first), timeline.count);
	assert_true(ma_timeline_value_at(&timeline, 0, 0).live_bytes == 100);
	ma_timeline_fini(&timeline);
	ma_heap_state_fini(&heap);
}

/* A site that becomes large later replaces a small one, and its series begins there. */
static void test_largest_sites(void **state)
{
	(void)state;
	static struct ma_timeline timeline;
	ma_heap_state_init(&heap, MA_HEAP_SITE_LIMIT);
	for (uint32_t site = 1; site <= 1000; site++) {
		struct ma_heap_sample sample = {
			.size_bytes = 1000 + site, .site = site, .domain = 3};
		ma_heap_state_alloc(&heap, &sample, 0);
	}
	uint64_t second = 0;
	while (second < 40)
		add(&timeline, ++second, 1);
	assert_int_equal(timeline.site_count, MA_TIMELINE_SITES);
	struct ma_heap_sample large = {.size_bytes = 1 << 20, .site = 1500, .domain = 3};
	ma_heap_state_alloc(&heap, &large, 0);
	while (second < 80)
		add(&timeline, ++second, 1);
	uint32_t slot = 0;
	while (slot < timeline.site_count && timeline.sites[slot].site != 1500)
		slot++;
	assert_true(slot < timeline.site_count);
	uint32_t first;
	uint32_t count = ma_timeline_series(&timeline, slot, &first);
	assert_true(count >= 10 && count <= 41);
	for (uint32_t i = 0; i < count; i++)
		assert_true(ma_timeline_value_at(&timeline, slot, first + i).live_bytes == 1 << 20);
	assert_true(ma_timeline_value_at(&timeline, MA_TIMELINE_SITES - 1, 0).live_bytes >= 0);
	ma_timeline_fini(&timeline);
	ma_heap_state_fini(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_largest_sites),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
