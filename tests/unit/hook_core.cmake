# SPDX-License-Identifier: MIT
# The hook itself: its parts as host code, what the libraries need and hold, and the whole of it
# inside every Python of this machine.
find_program(MA_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

# Everything but the globals (install.c; the tests have their own) and what needs a dynamic loader,
# for both ways to keep per-thread state.
set(MA_HOOK_PURE_SOURCES sampler live filter ring threads exact) # those without globals
set(MA_HOOK_CORE_SOURCES ${MA_HOOK_PURE_SOURCES} gate tls promote record record_exact windows python_tables
  entries_malloc entries_python entries_mmap object wanted pass)
list(TRANSFORM MA_HOOK_PURE_SOURCES REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/inject/hook/\\1.c")
list(TRANSFORM MA_HOOK_CORE_SOURCES REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/inject/hook/\\1.c")
foreach(slots 0 1)
  add_library(ma_hook_core_${slots} STATIC ${MA_HOOK_CORE_SOURCES})
  target_compile_definitions(ma_hook_core_${slots} PUBLIC MA_HOOK_TP_SLOTS=${slots})
  target_link_libraries(ma_hook_core_${slots} PUBLIC ma_flags)
endforeach()

ma_unit_test(hook_sampler SOURCES test_hook_sampler.c LIBS ma_hook_core_0 m)
ma_unit_test(hook_live SOURCES test_hook_live.c LIBS ma_hook_core_0 ma_proto Threads::Threads)
ma_unit_test(hook_ring SOURCES test_hook_ring.c LIBS ma_hook_core_0 ma_proto Threads::Threads)
ma_unit_test(hook_exact SOURCES test_hook_exact.c LIBS ma_hook_core_0 Threads::Threads)
ma_unit_test(hook_pass SOURCES test_hook_pass.c LIBS ma_hook_core_0)
ma_unit_test(hook_entries SOURCES test_hook_entries.c hook_fake.c LIBS ma_hook_core_0 ma_proto)
ma_unit_test(hook_promote SOURCES test_hook_promote.c hook_fake.c LIBS ma_hook_core_0 ma_proto)
ma_unit_test(hook_windows SOURCES test_hook_windows.c hook_fake.c
  LIBS ma_hook_core_0 ma_proto Threads::Threads)
ma_unit_test(hook_entries_slots SOURCES test_hook_entries.c hook_fake.c LIBS ma_hook_core_1 ma_proto)

# What several threads touch at once, under the thread sanitizer.
if(NOT MA_SANITIZE)
  foreach(name live ring exact)
    ma_unit_test(hook_${name}_tsan LIBS ma_proto Threads::Threads
      SOURCES test_hook_${name}.c ${MA_HOOK_PURE_SOURCES}
              ${PROJECT_SOURCE_DIR}/proto/ring_take.c)
    target_compile_definitions(test_hook_${name}_tsan PRIVATE MA_HOOK_TP_SLOTS=0)
    target_compile_options(test_hook_${name}_tsan PRIVATE -fsanitize=thread)
    target_link_options(test_hook_${name}_tsan PRIVATE -fsanitize=thread)
  endforeach()
endif()

# The ring's protocol under every interleaving. Instrumented for the thread sanitizer, but linked with
# weave.c in place of it.
if(NOT MA_SANITIZE)
  add_library(ma_ring_woven OBJECT ring_careless.c ${PROJECT_SOURCE_DIR}/inject/hook/ring.c
    ${PROJECT_SOURCE_DIR}/proto/ring_take.c ${PROJECT_SOURCE_DIR}/daemon/ring_claims.c)
  target_link_libraries(ma_ring_woven PRIVATE ma_flags)
  target_compile_options(ma_ring_woven PRIVATE -fsanitize=thread)
  ma_unit_test(ring_model SOURCES test_ring_model.c weave.c $<TARGET_OBJECTS:ma_ring_woven>
    LIBS ma_proto)
endif()

add_test(NAME unit.hook_library
  COMMAND ${MA_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/hook_library.py $<TARGET_FILE:ma_hook_ie>
    $<TARGET_FILE:ma_hook_tp>)
set_tests_properties(unit.hook_library PROPERTIES LABELS unit)

# Loaded into Pythons that have no sanitizers.
add_library(hook_inside_shim MODULE hook_inside_shim.c ${PROJECT_SOURCE_DIR}/proto/area_check.c
  ${PROJECT_SOURCE_DIR}/proto/ring_take.c
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
