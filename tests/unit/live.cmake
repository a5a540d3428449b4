# SPDX-License-Identifier: MIT
# The live view: what a frame asks for, how it is answered, how it is drawn.
ma_unit_test(pattern SOURCES test_pattern.c LIBS ma_proto)
ma_unit_test(live_model SOURCES test_live_model.c LIBS ma_cli)
ma_unit_test(live_graph SOURCES test_live_graph.c LIBS ma_cli)
ma_unit_test(viewer SOURCES test_viewer.c fake_target.c fake_area.c LIBS ma_daemon m)
ma_unit_test(windows_report SOURCES test_windows_report.c fake_target.c fake_area.c LIBS ma_daemon m)
