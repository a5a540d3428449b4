# SPDX-License-Identifier: MIT
set(MA_FUZZ_INJECT ${PROJECT_SOURCE_DIR}/inject)
set(MA_FUZZ_ERROR ${PROJECT_SOURCE_DIR}/proto/error.c)
set(MA_FUZZ_LOOK ${MA_FUZZ_INJECT}/procfs.c ${MA_FUZZ_INJECT}/maps.c
    ${MA_FUZZ_INJECT}/remote_memory.c ${MA_FUZZ_INJECT}/elf_memory.c ${MA_FUZZ_INJECT}/link_map.c
    ${MA_FUZZ_INJECT}/interpreter.c ${MA_FUZZ_INJECT}/hook/cpython/layouts.c ${MA_FUZZ_ERROR})
ma_fuzz_test(maps SOURCES fuzz_maps.c ${MA_FUZZ_INJECT}/maps.c ${MA_FUZZ_INJECT}/procfs.c
             ${MA_FUZZ_ERROR})
ma_fuzz_test(procfs SOURCES fuzz_procfs.c ${MA_FUZZ_LOOK})
ma_fuzz_test(elf SOURCES fuzz_elf.c ${MA_FUZZ_LOOK} ${MA_FUZZ_INJECT}/resolve.c
             ${PROJECT_SOURCE_DIR}/tests/unit/fake_memory.c)
ma_fuzz_test(bpf SOURCES fuzz_bpf.c ${MA_FUZZ_INJECT}/bpf.c)
foreach(target replay_elf fuzz_elf)
  if(TARGET ${target})
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit)
  endif()
endforeach()
