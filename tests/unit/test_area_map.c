/* SPDX-License-Identifier: MIT */
/* The shared area in our address space: what is refused, and a file cut off under our feet. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/area_map.h"
#include "fake_area.h"

static void test_maps(void **state)
{
	(void)state;
	struct fake_area fake;
	struct ma_area_map map = {0};
	struct ma_error error;
	fake_area_init(&fake, MA_MODE_SAMPLED, 0);
	assert_int_equal(ma_area_map_open(&map, fake.fd, &error), 0);
	assert_true(map.area != fake.area);
	assert_int_equal(map.ident.tsc_khz, 2000000);
	ma_area_map_touch(&map);
	map.area->control.clock_ms = 77;
	assert_int_equal(fake.area->control.clock_ms, 77);
	/* Sealed against being cut off. */
	assert_true(fcntl(fake.fd, F_GET_SEALS) & F_SEAL_SHRINK);
	assert_int_equal(ftruncate(fake.fd, 0), -1);
	fake.area->rings[3].head = 9;
	fake.area->tables.site_count = 4;
	ma_area_map_shrink(&map);
	assert_int_equal(fake.area->rings[3].head, 0);
	assert_int_equal(fake.area->tables.site_count, 4);
	ma_area_map_close(&map);
	ma_area_map_close(&map);
	fake_area_fini(&fake);
}

static void assert_refused(int fd)
{
	struct ma_area_map map = {0};
	struct ma_error error = {0};
	assert_int_equal(ma_area_map_open(&map, fd, &error), MA_ERR_PROTOCOL);
	assert_true(error.what[0] && error.answer[0]);
	assert_null(map.area);
}

static void test_refuses(void **state)
{
	(void)state;
	struct fake_area fake;
	int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	assert_refused(zero);
	close(zero);
	int pipes[2];
	assert_int_equal(pipe(pipes), 0);
	assert_refused(pipes[0]);
	close(pipes[0]);
	close(pipes[1]);
	int small = memfd_create("small", MFD_CLOEXEC);
	assert_int_equal(ftruncate(small, 4096), 0);
	assert_refused(small);
	close(small);
	fake_area_init(&fake, MA_MODE_SAMPLED, 0);
	fake.area->ident.magic++;
	assert_refused(fake.fd);
	fake_area_fini(&fake);
}

/* A file that nobody could seal is truncated: reading gives zeros, and the area counts as lost. */
static void test_cut_off(void **state)
{
	(void)state;
	struct fake_area fake;
	struct ma_area_map map = {0}, other = {0};
	struct fake_area intact;
	/* Within the test, as cmocka has a handler of its own around each. */
	assert_int_equal(ma_area_guard_install(NULL), 0);
	fake_area_init(&fake, MA_MODE_SAMPLED, 0);
	fake_area_init(&intact, MA_MODE_SAMPLED, 0);
	assert_int_equal(fcntl(fake.fd, F_ADD_SEALS, F_SEAL_SEAL), 0);
	assert_int_equal(ma_area_map_open(&map, fake.fd, NULL), 0);
	assert_int_equal(ma_area_map_open(&other, intact.fd, NULL), 0);
	map.area->tables.code_used = 5;
	assert_int_equal(ftruncate(fake.fd, MA_PAGE_BYTES), 0);
	assert_false(ma_area_map_is_lost(&map));
	assert_int_equal(__atomic_load_n(&map.area->tables.code_used, __ATOMIC_RELAXED), 0);
	assert_true(ma_area_map_is_lost(&map));
	assert_int_equal(map.area->ident.magic, MA_AREA_MAGIC);
	memset(map.area->rings, 1, sizeof map.area->rings);
	ma_area_map_shrink(&map);
	assert_false(ma_area_map_is_lost(&other));
	ma_area_map_close(&map);
	ma_area_map_close(&other);
	fake_area_fini(&fake);
	fake_area_fini(&intact);
	ma_area_guard_remove();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_cut_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
