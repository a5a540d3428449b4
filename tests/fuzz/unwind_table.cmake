# SPDX-License-Identifier: MIT
set(MA_FUZZ_UNWIND)
foreach(name sha256 unwind_compile unwind_maps unwind_rules unwind_source unwind_table)
  list(APPEND MA_FUZZ_UNWIND ${PROJECT_SOURCE_DIR}/daemon/${name}.c)
endforeach()
ma_fuzz_test(unwind_table SOURCES fuzz_unwind_table.c ${MA_FUZZ_UNWIND} LIBS ma_daemon)
