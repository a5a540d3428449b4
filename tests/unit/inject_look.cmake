# SPDX-License-Identifier: MIT
# The half of inject/ that looks at a process without stopping it. It is built as a library of its
# own here, without the payload that an attach needs.
set(MA_LOOK_SOURCES)
foreach(name remote_memory maps procfs elf_memory link_map interpreter resolve thunk_page permission
        permission_text bpf seccomp_filter headroom inspect doctor hook/cpython/layouts)
  list(APPEND MA_LOOK_SOURCES ${PROJECT_SOURCE_DIR}/inject/${name}.c)
endforeach()
add_library(ma_look STATIC ${MA_LOOK_SOURCES} fake_memory.c child_process.c)
target_include_directories(ma_look PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(ma_look PUBLIC ma_proto Threads::Threads ${CMAKE_DL_LIBS})

foreach(name maps procfs elf_memory bpf seccomp_filter headroom)
  ma_unit_test(look_${name} SOURCES test_${name}.c LIBS ma_look)
endforeach()
