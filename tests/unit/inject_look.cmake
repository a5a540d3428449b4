# SPDX-License-Identifier: MIT
# The half of inject/ that looks at a process without stopping it. It is built as a library of its
# own here, without the payload that an attach needs.
set(MA_LOOK_SOURCES)
foreach(name remote_memory memory_cache maps procfs elf_memory link_map interpreter resolve
        thunk_page permission permission_text bpf seccomp_filter headroom hook_file inspect
        arch/x86_64 hook/cpython/layouts)
  list(APPEND MA_LOOK_SOURCES ${PROJECT_SOURCE_DIR}/inject/${name}.c)
endforeach()
add_library(ma_look STATIC ${MA_LOOK_SOURCES} fake_memory.c child_process.c)
target_include_directories(ma_look PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(ma_look PUBLIC ma_proto Threads::Threads ${CMAKE_DL_LIBS})

# Programs to look at. They carry no sanitizer: its run-time library would be in the way.
add_executable(look_canonical_plt look_target.c)
target_compile_options(look_canonical_plt PRIVATE -fno-pie)
target_link_options(look_canonical_plt PRIVATE -no-pie)
add_executable(look_static look_target.c)
target_link_options(look_static PRIVATE -static)
add_executable(look_embedding look_embedding.c)
target_link_libraries(look_embedding PRIVATE ${CMAKE_DL_LIBS})
add_executable(look_fake_python look_fake_python.c
  ${PROJECT_SOURCE_DIR}/inject/hook/cpython/layouts.c)
target_include_directories(look_fake_python PRIVATE ${PROJECT_SOURCE_DIR})
set_target_properties(look_fake_python PROPERTIES ENABLE_EXPORTS ON)
add_library(look_interposer SHARED look_interposer.c)
target_compile_options(look_interposer PRIVATE -fno-builtin)

# The doctor looks too, but stops a thread where there is a seccomp filter.
set(MA_LOOK_LIBS_inspect ma_inject)

foreach(name maps procfs elf_memory link_map bpf seccomp_filter headroom interpreter permission inspect)
  ma_unit_test(look_${name} SOURCES test_${name}.c LIBS ma_look ${MA_LOOK_LIBS_${name}})
  target_compile_definitions(test_look_${name} PRIVATE
    MA_CANONICAL_PLT_PROGRAM="$<TARGET_FILE:look_canonical_plt>"
    MA_STATIC_PROGRAM="$<TARGET_FILE:look_static>"
    MA_EMBEDDING_PROGRAM="$<TARGET_FILE:look_embedding>"
    MA_FAKE_PYTHON="$<TARGET_FILE:look_fake_python>"
    MA_PROGRAM_32_BIT="${CMAKE_CURRENT_BINARY_DIR}/look_32_bit"
    MA_INTERPOSER="$<TARGET_FILE:look_interposer>")
  add_dependencies(test_look_${name} look_canonical_plt look_static look_fake_python
    look_embedding look_interposer)
endforeach()

# A 32-bit program without a C library, where the compiler can make one.
add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/look_32_bit
  COMMAND ${CMAKE_C_COMPILER} -m32 -nostdlib -static -ffreestanding -fno-pie -no-pie
          -fno-stack-protector -o ${CMAKE_CURRENT_BINARY_DIR}/look_32_bit
          ${CMAKE_CURRENT_SOURCE_DIR}/look_target_32.c || ${CMAKE_COMMAND} -E true
  DEPENDS look_target_32.c VERBATIM)
add_custom_target(look_32_bit_program DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/look_32_bit)
add_dependencies(test_look_inspect look_32_bit_program)
