# SPDX-License-Identifier: MIT
# Estimates and intervals against the truth, on the hook's own code (tests/unit/hook_core.cmake). A few
# hundred seeds are a test; docs/estimates.md has the figures of 10,000.
if(TARGET ma_hook_core_0)
  add_executable(ma_bench_estimates ${CMAKE_CURRENT_LIST_DIR}/estimates.c
    ${CMAKE_CURRENT_LIST_DIR}/simulated_target.c)
  target_link_libraries(ma_bench_estimates PRIVATE ma_hook_core_0 ma_daemon m)
  add_executable(ma_bench_peak ${CMAKE_CURRENT_LIST_DIR}/peak.c
    ${CMAKE_CURRENT_LIST_DIR}/simulated_target.c)
  target_link_libraries(ma_bench_peak PRIVATE ma_hook_core_0 ma_daemon m)
  add_test(NAME unit.peak_simulated COMMAND ma_bench_peak 12 --check)
  set_tests_properties(unit.peak_simulated PROPERTIES LABELS unit TIMEOUT 300)
  add_test(NAME unit.estimates_simulated COMMAND ma_bench_estimates 300 --check)
  set_tests_properties(unit.estimates_simulated PROPERTIES LABELS unit TIMEOUT 300)
endif()
