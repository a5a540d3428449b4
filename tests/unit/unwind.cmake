# SPDX-License-Identifier: MIT
# Unwind tables in the daemon.
ma_unit_test(unwind_compile SOURCES test_unwind_compile.c unwind_oracle.c unwind_elf.c
             LIBS ma_daemon ${CMAKE_DL_LIBS})
ma_unit_test(unwind_cache SOURCES test_unwind_cache.c LIBS ma_daemon)
ma_unit_test(unwind_maps SOURCES test_unwind_maps.c LIBS ma_daemon)
ma_unit_test(unwind_worker SOURCES test_unwind_worker.c unwind_elf.c
             LIBS ma_daemon ${CMAKE_DL_LIBS} Threads::Threads)
ma_unit_test(unwind_keeper SOURCES test_unwind_keeper.c LIBS ma_daemon ${CMAKE_DL_LIBS}
             Threads::Threads)
