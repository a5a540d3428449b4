# SPDX-License-Identifier: MIT
# What every thread does: Python's frames read from outside, and their merge with the native ones.
ma_unit_test(stack_merge SOURCES test_stack_merge.c LIBS ma_proto)
ma_unit_test(python_stacks SOURCES test_python_stacks.c
             ${PROJECT_SOURCE_DIR}/inject/python_stacks.c LIBS ma_look)
