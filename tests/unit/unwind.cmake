# SPDX-License-Identifier: MIT
# Unwind tables in the daemon.
ma_unit_test(unwind_compile SOURCES test_unwind_compile.c unwind_oracle.c unwind_elf.c
             LIBS ma_daemon ${CMAKE_DL_LIBS})
