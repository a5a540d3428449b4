# SPDX-License-Identifier: MIT
# The hook itself: its pure parts as host code, what the libraries need and hold, and the whole of it
# inside every Python of this machine.
find_program(MA_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

# Loaded into Pythons that have no sanitizers.
add_library(hook_inside_shim MODULE hook_inside_shim.c ${PROJECT_SOURCE_DIR}/proto/area_check.c
  ${PROJECT_SOURCE_DIR}/proto/error.c ${PROJECT_SOURCE_DIR}/inject/hook/cpython/layouts.c)
target_compile_definitions(hook_inside_shim PRIVATE _GNU_SOURCE)
target_include_directories(hook_inside_shim PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(hook_inside_shim PRIVATE ${CMAKE_DL_LIBS})
add_library(hook_inside_lazy MODULE hook_inside_later.c)
target_link_options(hook_inside_lazy PRIVATE -Wl,-z,lazy)
add_library(hook_inside_now MODULE hook_inside_later.c)
target_link_options(hook_inside_now PRIVATE -Wl,-z,now,-z,relro)
foreach(library shim lazy now)
  set_target_properties(hook_inside_${library} PROPERTIES PREFIX "")
endforeach()

add_test(NAME unit.hook_inside
  COMMAND ${MA_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/hook_inside.py
    $<TARGET_FILE:hook_inside_shim> "$<TARGET_FILE:ma_hook_ie>,$<TARGET_FILE:ma_hook_tp>"
    $<TARGET_FILE:hook_inside_lazy> $<TARGET_FILE:hook_inside_now>)
set_tests_properties(unit.hook_inside PROPERTIES LABELS unit TIMEOUT 600 SKIP_RETURN_CODE 77)
