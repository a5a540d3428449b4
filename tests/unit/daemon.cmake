# SPDX-License-Identifier: MIT
# The daemon: each part on its own, then a session and the whole of it with a target that is played
# by the test.
ma_unit_test(estimate SOURCES test_estimate.c LIBS ma_daemon m)
ma_unit_test(heap_state SOURCES test_heap_state.c LIBS ma_daemon)
ma_unit_test(shared_windows SOURCES test_shared_windows.c LIBS ma_daemon m)
ma_unit_test(ingest SOURCES test_ingest.c LIBS ma_daemon)
ma_unit_test(region_map SOURCES test_region_map.c LIBS ma_daemon)
ma_unit_test(timeline SOURCES test_timeline.c LIBS ma_daemon)
ma_unit_test(names SOURCES test_names.c fake_area.c LIBS ma_daemon)
ma_unit_test(live_set SOURCES test_live_set.c fake_area.c LIBS ma_daemon Threads::Threads)
ma_unit_test(governor SOURCES test_governor.c LIBS ma_daemon m)
ma_unit_test(windows SOURCES test_windows.c LIBS ma_daemon)
ma_unit_test(area_map SOURCES test_area_map.c fake_area.c LIBS ma_daemon)
ma_unit_test(arena_ahead SOURCES test_arena_ahead.c fake_area.c LIBS ma_daemon)
ma_unit_test(session SOURCES test_session.c fake_target.c fake_area.c LIBS ma_daemon m)
ma_unit_test(daemon SOURCES test_daemon.c fake_target.c fake_area.c LIBS ma_daemon m)
ma_unit_test(threads SOURCES test_threads.c LIBS ma_daemon Threads::Threads)
