# SPDX-License-Identifier: MIT
add_executable(ma_bench_ingest ${CMAKE_CURRENT_LIST_DIR}/ingest.c)
target_link_libraries(ma_bench_ingest PRIVATE ma_flags ma_daemon)
add_executable(ma_bench_snapshot ${CMAKE_CURRENT_LIST_DIR}/snapshot.c
  ${PROJECT_SOURCE_DIR}/tests/unit/fake_target.c ${PROJECT_SOURCE_DIR}/tests/unit/fake_area.c)
target_link_libraries(ma_bench_snapshot PRIVATE ma_flags ma_daemon)
add_executable(ma_bench_unwind_tables ${CMAKE_CURRENT_LIST_DIR}/unwind_tables.c)
target_link_libraries(ma_bench_unwind_tables PRIVATE ma_flags ma_daemon)
