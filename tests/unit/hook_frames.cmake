# SPDX-License-Identifier: MIT
# The hook's frame walk and tables: in every Python of this machine, as an ordinary library; and on
# their own against a made-up interpreter, with and without the thread sanitizer.
set(MA_HOOK_SITE_SOURCES)
foreach(name site frames path call_tree intern codes tables_lock filter unwind unwind_index)
  list(APPEND MA_HOOK_SITE_SOURCES ${PROJECT_SOURCE_DIR}/inject/hook/${name}.c)
endforeach()
set(MA_LAYOUT_SOURCES ${PROJECT_SOURCE_DIR}/inject/hook/cpython/layouts.c)

find_program(MA_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH REQUIRED)

# Compiled as in the hook, and without sanitizers: the Pythons that load it have none.
add_library(ma_hook_site_objects OBJECT ${MA_HOOK_SITE_SOURCES})
target_compile_options(ma_hook_site_objects PRIVATE -O2 -ffreestanding -mgeneral-regs-only -fPIC)
target_include_directories(ma_hook_site_objects PRIVATE ${PROJECT_SOURCE_DIR})
add_library(hook_frames_shim MODULE hook_frames_shim.c ${MA_LAYOUT_SOURCES})
target_include_directories(hook_frames_shim PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(hook_frames_shim PRIVATE ma_hook_site_objects)
set_target_properties(hook_frames_shim PROPERTIES PREFIX "")

add_test(NAME unit.hook_frames
  COMMAND ${MA_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/hook_frames.py $<TARGET_FILE:hook_frames_shim>)
set_tests_properties(unit.hook_frames PROPERTIES LABELS unit TIMEOUT 300 SKIP_RETURN_CODE 77)

# The same as host code, with whatever sanitizers the build has.
add_library(ma_hook_site_host STATIC ${MA_HOOK_SITE_SOURCES} ${MA_LAYOUT_SOURCES} hook_fake_python.c
  ${PROJECT_SOURCE_DIR}/inject/hook/sampler.c)
target_include_directories(ma_hook_site_host PRIVATE ${CMOCKA_INCLUDE_DIRS})
target_link_libraries(ma_hook_site_host PUBLIC ma_flags)
foreach(name codes walk path intern)
  ma_unit_test(hook_${name} SOURCES test_hook_${name}.c
    LIBS ma_hook_site_host ma_proto Threads::Threads)
endforeach()

if(NOT MA_SANITIZE)
  ma_unit_test(hook_intern_tsan LIBS ma_proto Threads::Threads
    SOURCES test_hook_intern.c hook_fake_python.c ${MA_HOOK_SITE_SOURCES} ${MA_LAYOUT_SOURCES})
  target_compile_options(test_hook_intern_tsan PRIVATE -fsanitize=thread)
  target_link_options(test_hook_intern_tsan PRIVATE -fsanitize=thread)
endif()
