# SPDX-License-Identifier: MIT
# What the daemon observes from outside: line tables, memory figures, how a process ended.
ma_unit_test(linetable SOURCES test_linetable.c LIBS ma_proto)

# The same decoder against the library of every Python that is here.
add_executable(linetable_probe linetable_probe.c)
target_link_libraries(linetable_probe PRIVATE ma_flags ma_proto)
add_test(NAME unit.linetable_live COMMAND /usr/bin/python3 -B
         ${CMAKE_CURRENT_SOURCE_DIR}/linetable_live.py $<TARGET_FILE:linetable_probe>)
set_tests_properties(unit.linetable_live PROPERTIES LABELS unit TIMEOUT 300 SKIP_RETURN_CODE 77)

ma_unit_test(cgroup SOURCES test_cgroup.c fake_root.c LIBS ma_daemon)
ma_unit_test(process_memory SOURCES test_process_memory.c fake_root.c LIBS ma_daemon)
ma_unit_test(process_end SOURCES test_process_end.c fake_root.c LIBS ma_daemon Threads::Threads)
