# SPDX-License-Identifier: MIT
# Sampling and what follows from it: size classes, and estimates against the truth.
ma_unit_test(cli_size_classes SOURCES test_cli_size_classes.c LIBS ma_cli)
