/* SPDX-License-Identifier: MIT */
/* Pages of the exact mode's arena that are made ready before the hook takes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "daemon/arena_ahead.h"
#include "fake_area.h"

enum { PAGES = 4096, TAKEN = MA_ARENA_AHEAD_MIN_PAGES / 4 };

static struct fake_area fake;
static struct ma_area_map map;

static void begin(enum ma_mode mode, uint32_t pages)
{
	struct ma_error error;
	fake_area_init(&fake, mode, pages);
	map = (struct ma_area_map){0};
	assert_int_equal(ma_area_map_open(&map, fake.fd, &error), 0);
}

static void end(void)
{
	ma_area_map_close(&map);
	fake_area_fini(&fake);
}

/* Pages of the arena that have memory. */
static uint32_t made(uint32_t pages)
{
	unsigned char present[PAGES];
	uint32_t count = 0;
	assert_int_equal(mincore(fake.area + 1, (size_t)pages * MA_PAGE_BYTES, present), 0);
	for (uint32_t i = 0; i < pages; i++)
		count += present[i] & 1;
	return count;
}

static void test_sampled(void **state)
{
	(void)state;
	struct ma_arena_ahead ahead = {0};
	begin(MA_MODE_SAMPLED, 0);
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 0);
	assert_int_equal(ahead.touched, 0);
	end();
}

static void test_follows(void **state)
{
	(void)state;
	struct ma_arena_ahead ahead = {0};
	begin(MA_MODE_EXACT, PAGES);
	assert_int_equal(made(PAGES), 0);
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 0);
	assert_int_equal(made(PAGES), MA_ARENA_AHEAD_MIN_PAGES);
	/* Who takes none gets no more. */
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 0);
	assert_int_equal(made(PAGES), MA_ARENA_AHEAD_MIN_PAGES);
	/* Who takes some gets as many anew, and more the more it was; what is there stays. */
	uint8_t *arena = (uint8_t *)(fake.area + 1);
	memset(arena, 7, (size_t)PAGES / 16 * MA_PAGE_BYTES);
	fake.area->exact.arena_pages_used = TAKEN;
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 250);
	assert_int_equal(made(PAGES), TAKEN + 8 * TAKEN);
	fake.area->exact.arena_pages_used = TAKEN + 8 * TAKEN;
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 1000);
	assert_int_equal(made(PAGES), 9 * TAKEN + MA_ARENA_AHEAD_MAX_PAGES);
	for (size_t i = 0; i < (size_t)PAGES / 16 * MA_PAGE_BYTES; i++)
		assert_int_equal(arena[i], 7);
	end();
}

/* What was set aside before the first look is no growth, and not touched. */
static void test_set_aside(void **state)
{
	(void)state;
	struct ma_arena_ahead ahead = {0};
	begin(MA_MODE_EXACT, PAGES);
	fake.area->exact.arena_pages_used = PAGES / 2;
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 0);
	assert_int_equal(made(PAGES), MA_ARENA_AHEAD_MIN_PAGES);
	assert_int_equal(made(PAGES / 2), 0);
	end();
}

/* What the hook says of itself is not believed beyond the mapping, nor that it takes pages back. */
static void test_wrong(void **state)
{
	(void)state;
	struct ma_arena_ahead ahead = {0};
	begin(MA_MODE_EXACT, PAGES);
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 0);
	fake.area->exact.arena_pages_used = UINT32_MAX;
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 1000);
	assert_int_equal(ahead.touched, PAGES);
	fake.area->exact.arena_pages_used = 1;
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 0);
	assert_int_equal(ahead.touched, PAGES);
	fake.area->exact.arena_pages_used = PAGES - 1;
	assert_int_equal(ma_arena_ahead_poll(&ahead, &map), 999);
	assert_int_equal(ahead.touched, PAGES);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sampled),
		cmocka_unit_test(test_follows),
		cmocka_unit_test(test_set_aside),
		cmocka_unit_test(test_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
