# SPDX-License-Identifier: MIT
ma_unit_test(area_layout SOURCES test_area_layout.c)
ma_unit_test(area_check SOURCES test_area_check.c LIBS ma_proto)
ma_unit_test(channel_frame SOURCES test_channel_frame.c LIBS ma_proto Threads::Threads)
ma_unit_test(channel_socket SOURCES test_channel_socket.c LIBS ma_proto)
ma_unit_test(utf8 SOURCES test_utf8.c LIBS ma_proto)
ma_unit_test(snapshot SOURCES test_snapshot.c snapshot_sample.c LIBS ma_proto)
ma_unit_test(snapshot_check SOURCES test_snapshot_check.c snapshot_sample.c LIBS ma_proto m)
ma_unit_test(control_golden SOURCES test_control_golden.c LIBS ma_proto)
