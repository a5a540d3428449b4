# SPDX-License-Identifier: MIT
set(MA_FUZZ_DAEMON ${PROJECT_SOURCE_DIR}/daemon)
ma_fuzz_test(linetable SOURCES fuzz_linetable.c ${PROJECT_SOURCE_DIR}/proto/linetable.c)
ma_fuzz_test(proc SOURCES fuzz_proc.c ${MA_FUZZ_DAEMON}/process_stat.c ${MA_FUZZ_DAEMON}/proc_text.c
             ${MA_FUZZ_DAEMON}/cgroup_find.c)
