/* SPDX-License-Identifier: MIT */
/* The little that is to be understood of x86-64 machine code (Intel SDM, volume 2). Pure. */
#ifndef MA_PROTO_CODE_X86_64_H
#define MA_PROTO_CODE_X86_64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a direct jump (jmp rel32, jcc rel32) at an address leads; false: it is none. */
bool ma_code_jump_target(const uint8_t *code, size_t bytes, uint64_t address, uint64_t *target);

/* The slot that an entry of a procedure linkage table (its first bytes at an address) jumps
 * through; false: it does not look like one. */
bool ma_code_plt_slot(const uint8_t *code, size_t bytes, uint64_t address, uint64_t *slot);

#endif
