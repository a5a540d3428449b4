# SPDX-License-Identifier: MIT
set(MA_FUZZ_SESSION)
foreach(name area_map clock cost_history estimate governor heap_state heap_view hook_watch idmap ingest ledger
        live_scan names notes pool region_map ring_claims session_end session_events
        session_query settle shared_windows snapshot_build snapshot_heap snapshot_stacks strings text threads
        timeline)
  list(APPEND MA_FUZZ_SESSION ${PROJECT_SOURCE_DIR}/daemon/${name}.c)
endforeach()
ma_fuzz_test(session SOURCES fuzz_session.c ${MA_FUZZ_SESSION} LIBS ma_daemon)
