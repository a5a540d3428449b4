# SPDX-License-Identifier: MIT
# The hook's native walk, by tables that the daemon's code puts into an area.
set(MA_HOOK_UNWIND_SOURCES ${PROJECT_SOURCE_DIR}/inject/hook/unwind.c
  ${PROJECT_SOURCE_DIR}/inject/hook/unwind_index.c)
ma_unit_test(hook_unwind SOURCES test_hook_unwind.c fake_unwind.c ${MA_HOOK_UNWIND_SOURCES}
             LIBS ma_daemon)

# In a process of its own that runs Python, against other ways to walk. Compiled as in the hook; with
# sanitizers, reading stacks as they are would be a finding.
if(NOT MA_SANITIZE)
  add_library(ma_hook_unwind_objects OBJECT ${MA_HOOK_UNWIND_SOURCES})
  target_compile_options(ma_hook_unwind_objects PRIVATE -O2 -ffreestanding -mgeneral-regs-only
    -fomit-frame-pointer -fasynchronous-unwind-tables)
  target_include_directories(ma_hook_unwind_objects PRIVATE ${PROJECT_SOURCE_DIR})
  add_executable(hook_unwind_own hook_unwind_own.c own_unwind.c)
  target_link_libraries(hook_unwind_own PRIVATE ma_flags ma_hook_unwind_objects ma_daemon unwind
    ${CMAKE_DL_LIBS})
  add_test(NAME unit.hook_unwind_own COMMAND ${MA_PYTHON} -B
    ${CMAKE_CURRENT_SOURCE_DIR}/hook_unwind_own.py $<TARGET_FILE:hook_unwind_own>)
  set_tests_properties(unit.hook_unwind_own PROPERTIES LABELS unit TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
