# SPDX-License-Identifier: MIT
# One sampled allocation by step: the hook's functions, compiled as in the hook, in a process that runs
# Python. With sanitizers, reading stacks as they are would be a finding.
if(NOT MA_SANITIZE)
  set(MA_STEP_SOURCES sampler live filter ring frames codes intern tables_lock unwind unwind_index)
  list(TRANSFORM MA_STEP_SOURCES REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/inject/hook/\\1.c")
  add_library(ma_step_objects OBJECT ${MA_STEP_SOURCES})
  target_compile_options(ma_step_objects PRIVATE -O2 -ffreestanding -mgeneral-regs-only
    -fomit-frame-pointer -fasynchronous-unwind-tables)
  target_include_directories(ma_step_objects PRIVATE ${PROJECT_SOURCE_DIR})
  add_executable(ma_sample_steps ${CMAKE_CURRENT_LIST_DIR}/sample_steps.c
    ${PROJECT_SOURCE_DIR}/tests/unit/own_unwind.c ${PROJECT_SOURCE_DIR}/inject/hook/cpython/layouts.c)
  target_include_directories(ma_sample_steps PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit)
  target_link_libraries(ma_sample_steps PRIVATE ma_flags ma_step_objects ma_daemon Threads::Threads
    ${CMAKE_DL_LIBS})
endif()
