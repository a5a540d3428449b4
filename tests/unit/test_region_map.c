/* SPDX-License-Identifier: MIT */
/* Mapped regions against a map of single pages, and against the text of /proc/PID/maps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/region_map.h"

enum { PAGES = 64, SITES = 1 << 15, STEPS = 20000 };

/* Which mapping each page belongs to, and what the map told so far. */
struct world {
	uint32_t page_site[PAGES]; /* 0 = not mapped; every mapping has a site of its own */
	int64_t bytes[SITES];      /* what should be left of a mapping, by what was told */
	int64_t count[SITES];
};

static void gone(void *context, const struct ma_region *region, uint64_t bytes, bool last_part)
{
	struct world *world = context;
	world->bytes[region->site] -= (int64_t)bytes;
	world->count[region->site] -= last_part;
}

static void compare(const struct world *world, const struct ma_region_map *map, uint32_t sites)
{
	static int64_t pages[SITES];
	memset(pages, 0, sizeof pages);
	for (int i = 0; i < PAGES; i++)
		pages[world->page_site[i]]++;
	for (uint32_t site = 1; site < sites; site++) {
		assert_int_equal(world->bytes[site], pages[site] * 4096);
		assert_int_equal(world->count[site], pages[site] > 0);
	}
	uint64_t behind = 0, total = 0;
	for (size_t i = 0; i < map->count; i++) {
		assert_true(map->pieces[i].start >= behind);
		assert_true(map->pieces[i].end > map->pieces[i].start);
		behind = map->pieces[i].end;
		total += map->pieces[i].end - map->pieces[i].start;
	}
	assert_int_equal(total, (PAGES - pages[0]) * 4096);
}

static void test_against_pages(void **state)
{
	(void)state;
	static struct world world;
	struct ma_region_map map = {0};
	uint32_t site = 1;
	srandom(6);
	for (int step = 0; step < STEPS; step++) {
		uint32_t first = (uint32_t)random() % PAGES;
		uint32_t pages = 1 + (uint32_t)random() % (PAGES / 4);
		if (first + pages > PAGES)
			pages = PAGES - first;
		bool add = random() % 2;
		if (add) {
			assert_true(ma_region_map_add(&map, 65536 + first * UINT64_C(4096),
						      pages * UINT64_C(4096), site, 0, gone,
						      &world));
			world.bytes[site] = pages * 4096;
			world.count[site] = 1;
		} else {
			ma_region_map_remove(&map, 65536 + first * UINT64_C(4096),
					     pages * UINT64_C(4096), gone, &world);
		}
		for (uint32_t i = first; i < first + pages; i++)
			world.page_site[i] = add ? site : 0;
		site += add;
		if (step % 101 == 0)
			compare(&world, &map, site);
	}
	compare(&world, &map, site);
	ma_region_map_fini(&map);
}

static void test_ends_of_the_world(void **state)
{
	(void)state;
	static struct world world;
	struct ma_region_map map = {0};
	memset(&world, 0, sizeof world);
	assert_true(ma_region_map_add(&map, UINT64_MAX - 10, UINT64_MAX, 1, 0, gone, &world));
	assert_false(ma_region_map_add(&map, 5, 0, 2, 0, gone, &world));
	ma_region_map_remove(&map, 0, UINT64_MAX, gone, &world);
	assert_int_equal(map.count, 0);
	ma_region_map_remove(&map, 0, UINT64_MAX, gone, &world);
	ma_region_map_fini(&map);
}

static void test_limit(void **state)
{
	(void)state;
	static struct world world;
	struct ma_region_map map = {0};
	for (uint64_t i = 0; i < MA_REGION_LIMIT; i++)
		assert_true(ma_region_map_add(&map, (i + 1) << 20, 3 * 4096, 1, 0, gone, &world));
	assert_false(ma_region_map_add(&map, UINT64_C(1) << 45, 4096, 1, 0, gone, &world));
	assert_int_equal(map.refused, 1);
	/* A hole in a full map: the rest behind it has no place any more and is told of as gone. */
	memset(&world, 0, sizeof world);
	ma_region_map_remove(&map, (5 << 20) + 4096, 4096, gone, &world);
	assert_int_equal(-world.bytes[1], 2 * 4096);
	assert_int_equal(map.count, MA_REGION_LIMIT);
	ma_region_map_fini(&map);
}

static void test_verify(void **state)
{
	(void)state;
	static struct world world;
	struct ma_region_map map = {0};
	memset(&world, 0, sizeof world);
	ma_region_map_add(&map, 0x10000, 0x4000, 1, 0, gone, &world);
	ma_region_map_add(&map, 0x20000, 0x4000, 2, 0, gone, &world);
	ma_region_map_add(&map, 0x30000, 0x4000, 3, 0, gone, &world);
	memset(&world, 0, sizeof world);
	static const char text[] = "00011000-00013000 rw-p 00000000 00:00 0 \n"
				   "00020000-00024000 rw-p 00000000 00:00 0    [anon]\n"
				   "00100000-00200000 r-xp 00000000 08:01 7   /bin/x y\n";
	assert_int_equal(ma_region_map_verify(&map, text, gone, &world), 0x2000 + 0x4000);
	assert_int_equal(-world.bytes[1], 0x2000);
	assert_int_equal(-world.bytes[2], 0);
	assert_int_equal(-world.bytes[3], 0x4000);
	assert_int_equal(map.count, 2);
	/* Nonsense, and a text cut short, remove nothing that they do not know of. */
	assert_int_equal(ma_region_map_verify(&map, "", gone, &world), 0);
	assert_int_equal(ma_region_map_verify(&map, "zzz", gone, &world), 0);
	assert_int_equal(ma_region_map_verify(&map, "20000-10000 rw-p", gone, &world), 0);
	assert_int_equal(ma_region_map_verify(&map, "00011000-00013000 rw-p 0", gone, &world), 0);
	assert_int_equal(map.count, 2);
	ma_region_map_fini(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_pages),
		cmocka_unit_test(test_ends_of_the_world),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_verify),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
