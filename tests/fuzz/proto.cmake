# SPDX-License-Identifier: MIT
set(MA_FUZZ_PROTO ${PROJECT_SOURCE_DIR}/proto)
ma_fuzz_test(channel SOURCES fuzz_channel.c ${MA_FUZZ_PROTO}/channel.c ${MA_FUZZ_PROTO}/error.c
             LIBS ma_schema protobuf-c z)
ma_fuzz_test(snapshot SOURCES fuzz_snapshot.c ${MA_FUZZ_PROTO}/snapshot.c
             ${MA_FUZZ_PROTO}/snapshot_check.c ${MA_FUZZ_PROTO}/snapshot_gzip.c
             ${MA_FUZZ_PROTO}/snapshot_parse.c ${MA_FUZZ_PROTO}/utf8.c ${MA_FUZZ_PROTO}/error.c
             LIBS ma_schema protobuf-c z m)
ma_fuzz_test(area SOURCES fuzz_area.c ${MA_FUZZ_PROTO}/area_check.c ${MA_FUZZ_PROTO}/ring_take.c
             ${MA_FUZZ_PROTO}/error.c)
