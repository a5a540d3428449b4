# SPDX-License-Identifier: MIT
# The half of inject/ that traces. Targets are forked from the tests themselves.
add_library(ma_trace_test STATIC trace_target.c child_process.c)
target_include_directories(ma_trace_test PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(ma_trace_test PUBLIC ma_inject Threads::Threads)

foreach(name remote_call boot_list tracee interrupted proof safe_point python_allocator guardian
             thread_stacks)
  ma_unit_test(trace_${name} SOURCES test_${name}.c LIBS ma_trace_test)
endforeach()
