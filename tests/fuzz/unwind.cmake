# SPDX-License-Identifier: MIT
ma_fuzz_test(unwind SOURCES fuzz_unwind.c ${PROJECT_SOURCE_DIR}/inject/hook/unwind.c
             ${PROJECT_SOURCE_DIR}/inject/hook/unwind_index.c)
