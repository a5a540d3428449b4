/* SPDX-License-Identifier: MIT */
/*
 * The layout of the shared area is a wire format: hook and daemon of different builds meet in it.
 * The numbers here are written down by hand on purpose. Whoever has to change one raises
 * MA_AREA_VERSION too, and the number below with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "proto/area.h"

#define SIZE(type, bytes)                                                                          \
	{                                                                                          \
#type, "", sizeof(struct type), bytes                                              \
	}
#define FIELD(type, field, offset)                                                                 \
	{                                                                                          \
#type, #field, offsetof(struct type, field), offset                                \
	}

static const struct {
	const char *type, *field;
	size_t is, was;
} layout[] = {
	SIZE(ma_area, 88391680),
	FIELD(ma_area, ident, 0),
	FIELD(ma_area, control, 4096),
	FIELD(ma_area, counters, 8192),
	FIELD(ma_area, sequence, 12288),
	FIELD(ma_area, threads, 12296),
	FIELD(ma_area, rings, 16384),
	FIELD(ma_area, filter, 3166208),
	FIELD(ma_area, live, 3694592),
	FIELD(ma_area, tables, 7888896),
	FIELD(ma_area, exact, 79458304),
	SIZE(ma_area_ident, 616),
	FIELD(ma_area_ident, magic, 0),
	FIELD(ma_area_ident, version, 8),
	FIELD(ma_area_ident, python_version, 12),
	FIELD(ma_area_ident, area_bytes, 16),
	FIELD(ma_area_ident, area_address, 24),
	FIELD(ma_area_ident, mode, 32),
	FIELD(ma_area_ident, tsc_khz, 36),
	FIELD(ma_area_ident, attach_realtime_ns, 40),
	FIELD(ma_area_ident, attach_monotonic_ns, 48),
	FIELD(ma_area_ident, attach_tsc, 56),
	FIELD(ma_area_ident, thunk_code, 64),
	FIELD(ma_area_ident, thunk_data, 72),
	FIELD(ma_area_ident, obj_table, 80),
	FIELD(ma_area_ident, mem_table, 88),
	FIELD(ma_area_ident, python_frees, 96),
	FIELD(ma_area_ident, exact_heap_bytes, 104),
	FIELD(ma_area_ident, python_path, 112),
	FIELD(ma_area_ident, python_base, 368),
	FIELD(ma_area_ident, python_build_id, 376),
	FIELD(ma_area_ident, size_rate_count, 420),
	FIELD(ma_area_ident, size_rates, 424),
	SIZE(ma_size_rate, 24),
	FIELD(ma_size_rate, below_bytes, 0),
	FIELD(ma_size_rate, cost, 8),
	FIELD(ma_size_rate, rate, 16),
	SIZE(ma_control, 32),
	FIELD(ma_control, enabled, 0),
	FIELD(ma_control, interval_bytes, 4),
	FIELD(ma_control, reserved, 8),
	FIELD(ma_control, clock_ms, 12),
	FIELD(ma_control, lease_tsc, 16),
	FIELD(ma_control, window, 24),
	SIZE(ma_counters, 192),
	FIELD(ma_counters, samples, 0),
	FIELD(ma_counters, sample_frees, 8),
	FIELD(ma_counters, implicit_frees, 16),
	FIELD(ma_counters, dropped_allocs, 24),
	FIELD(ma_counters, dropped_frees, 32),
	FIELD(ma_counters, dropped_maps, 40),
	FIELD(ma_counters, reentered, 48),
	FIELD(ma_counters, stacks_truncated, 56),
	FIELD(ma_counters, stacks_broken, 64),
	FIELD(ma_counters, frames_unknown, 72),
	FIELD(ma_counters, tables_full, 80),
	FIELD(ma_counters, tables_busy, 88),
	FIELD(ma_counters, slow_cycles, 96),
	FIELD(ma_counters, passes, 104),
	FIELD(ma_counters, slots_patched, 112),
	FIELD(ma_counters, objects_seen, 120),
	FIELD(ma_counters, fault, 128),
	FIELD(ma_counters, native_no_module, 136),
	FIELD(ma_counters, native_no_stack, 144),
	FIELD(ma_counters, native_no_rule, 152),
	FIELD(ma_counters, native_broken, 160),
	FIELD(ma_counters, native_deep, 168),
	FIELD(ma_counters, native_guessed, 176),
	FIELD(ma_counters, window, 184),
	SIZE(ma_native_wants, 16),
	FIELD(ma_native_wants, pc, 0),
	FIELD(ma_native_wants, stack, 8),
	SIZE(ma_thread, 4),
	FIELD(ma_thread, tid, 0),
	SIZE(ma_event, 40),
	FIELD(ma_event, sequence, 0),
	FIELD(ma_event, address, 8),
	FIELD(ma_event, size_bytes, 16),
	FIELD(ma_event, site, 24),
	FIELD(ma_event, rate, 28),
	FIELD(ma_event, clock_ms, 32),
	FIELD(ma_event, kind, 36),
	FIELD(ma_event, domain, 38),
	SIZE(ma_ring, 196800),
	FIELD(ma_ring, claim, 0),
	FIELD(ma_ring, head, 64),
	FIELD(ma_ring, tail, 128),
	FIELD(ma_ring, frames, 192),
	FIELD(ma_ring, events, 32960),
	SIZE(ma_live_entry, 24),
	FIELD(ma_live_entry, size_bytes, 0),
	FIELD(ma_live_entry, site, 8),
	FIELD(ma_live_entry, rate, 12),
	FIELD(ma_live_entry, birth_ms, 16),
	FIELD(ma_live_entry, domain, 20),
	SIZE(ma_live, 4194304),
	FIELD(ma_live, address, 0),
	FIELD(ma_live, entry, 1048576),
	SIZE(ma_stack, 16),
	FIELD(ma_stack, frame_count, 0),
	FIELD(ma_stack, flags, 4),
	FIELD(ma_stack, hash, 8),
	SIZE(ma_code, 48),
	FIELD(ma_code, address, 0),
	FIELD(ma_code, hash, 8),
	FIELD(ma_code, linetable_address, 16),
	FIELD(ma_code, words, 24),
	FIELD(ma_code, first_line, 28),
	FIELD(ma_code, linetable_total_bytes, 32),
	FIELD(ma_code, linetable_bytes, 36),
	FIELD(ma_code, name_bytes, 40),
	FIELD(ma_code, filename_bytes, 42),
	FIELD(ma_code, name_kind, 44),
	FIELD(ma_code, filename_kind, 45),
	FIELD(ma_code, cut, 46),
	SIZE(ma_site, 8),
	FIELD(ma_site, stack, 0),
	FIELD(ma_site, domain, 4),
	FIELD(ma_site, thread, 5),
	FIELD(ma_site, flags, 6),
	SIZE(ma_code_slot, 16),
	FIELD(ma_code_slot, address, 0),
	FIELD(ma_code_slot, identity, 8),
	SIZE(ma_tables, 71565376),
	FIELD(ma_tables, lock, 0),
	FIELD(ma_tables, site_count, 4),
	FIELD(ma_tables, lock_tsc, 8),
	FIELD(ma_tables, stack_used, 16),
	FIELD(ma_tables, code_used, 24),
	FIELD(ma_tables, code_map, 64),
	FIELD(ma_tables, code_index, 1048640),
	FIELD(ma_tables, stack_index, 1310784),
	FIELD(ma_tables, site_index, 2359360),
	FIELD(ma_tables, sites, 3407936),
	FIELD(ma_tables, stack_log, 4456512),
	FIELD(ma_tables, code_log, 38010944),
	SIZE(ma_exact_site, 64),
	FIELD(ma_exact_site, allocated_bytes, 0),
	FIELD(ma_exact_site, allocated_count, 8),
	FIELD(ma_exact_site, live_bytes, 16),
	FIELD(ma_exact_site, live_count, 24),
	FIELD(ma_exact_site, peak_bytes, 32),
	FIELD(ma_exact_site, peak_count, 40),
	FIELD(ma_exact_site, epoch, 48),
	FIELD(ma_exact_site, first_ms, 56),
	FIELD(ma_exact_site, last_ms, 60),
	SIZE(ma_shadow, 8),
	FIELD(ma_shadow, word, 0),
	SIZE(ma_exact_large, 16),
	FIELD(ma_exact_large, size_bytes, 0),
	FIELD(ma_exact_large, birth_ms, 8),
	FIELD(ma_exact_large, next, 12),
	SIZE(ma_exact, 8929408),
	FIELD(ma_exact, lock, 0),
	FIELD(ma_exact, allocated_bytes, 16),
	FIELD(ma_exact, allocated_count, 24),
	FIELD(ma_exact, live_bytes, 32),
	FIELD(ma_exact, live_count, 40),
	FIELD(ma_exact, peak_bytes, 48),
	FIELD(ma_exact, peak_count, 56),
	FIELD(ma_exact, epoch, 64),
	FIELD(ma_exact, peak_ms, 72),
	FIELD(ma_exact, arena_pages, 76),
	FIELD(ma_exact, arena_pages_used, 80),
	FIELD(ma_exact, larges_used, 84),
	FIELD(ma_exact, large_free, 88),
	FIELD(ma_exact, sites, 128),
	FIELD(ma_exact, regions, 8388736),
	FIELD(ma_exact, larges, 8913024),
};

static void test_layout(void **state)
{
	(void)state;
	int changed = 0;
	assert_int_equal(MA_AREA_VERSION, 8);
	for (size_t i = 0; i < sizeof layout / sizeof layout[0]; i++) {
		if (layout[i].is == layout[i].was)
			continue;
		print_error("%s.%s: was %zu, is %zu\n", layout[i].type, layout[i].field,
			    layout[i].was, layout[i].is);
		changed++;
	}
	assert_int_equal(changed, 0);
}

static void test_magic(void **state)
{
	(void)state;
	uint64_t magic = MA_AREA_MAGIC;
	assert_memory_equal(&magic, "\1ma_area", 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_magic),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
