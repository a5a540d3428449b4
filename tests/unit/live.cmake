# SPDX-License-Identifier: MIT
# The live view: what a frame asks for, how it is answered, how it is drawn.
ma_unit_test(pattern SOURCES test_pattern.c LIBS ma_proto)
