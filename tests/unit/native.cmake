# SPDX-License-Identifier: MIT
# Native stacks in the daemon: modules, merging, names.
ma_unit_test(modules SOURCES test_modules.c LIBS ma_daemon)
ma_unit_test(confine SOURCES test_confine.c LIBS ma_daemon)
ma_unit_test(code_place SOURCES test_code_place.c code_sample.c LIBS ma_code
             ARGS ${CMAKE_CURRENT_SOURCE_DIR})
ma_unit_test(symbol_worker SOURCES test_symbol_worker.c code_sample.c LIBS ma_daemon
             ARGS ${CMAKE_CURRENT_SOURCE_DIR})
ma_unit_test(native_stack SOURCES test_native_stack.c LIBS ma_daemon)
ma_unit_test(notes SOURCES test_notes.c LIBS ma_daemon)
