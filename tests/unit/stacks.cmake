# SPDX-License-Identifier: MIT
# What every thread does: the merge of native and Python frames, and the parts of split functions.
ma_unit_test(stack_merge SOURCES test_stack_merge.c ${PROJECT_SOURCE_DIR}/inject/stack_merge.c
             LIBS ma_proto)
