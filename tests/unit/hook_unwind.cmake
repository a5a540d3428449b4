# SPDX-License-Identifier: MIT
# The hook's native walk, by tables that the daemon's code puts into an area.
set(MA_HOOK_UNWIND_SOURCES ${PROJECT_SOURCE_DIR}/inject/hook/unwind.c
  ${PROJECT_SOURCE_DIR}/inject/hook/unwind_index.c)
ma_unit_test(hook_unwind SOURCES test_hook_unwind.c fake_unwind.c ${MA_HOOK_UNWIND_SOURCES}
             LIBS ma_daemon)
