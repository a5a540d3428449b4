/* SPDX-License-Identifier: MIT */
/* See code_x86_64.h. */
#include "proto/code_x86_64.h"

#include <string.h>

enum { PLT_ENTRY_BYTES = 16 };

bool ma_code_jump_target(const uint8_t *code, size_t bytes, uint64_t address, uint64_t *target)
{
	size_t opcode = 0;
	int32_t distance;

	if (bytes > 5 && code[0] == 0x0f && (code[1] & 0xf0) == 0x80)
		opcode = 2;
	else if (bytes > 4 && code[0] == 0xe9)
		opcode = 1;
	else
		return false;
	memcpy(&distance, code + opcode, sizeof(distance));
	*target = address + opcode + sizeof(distance) + (uint64_t)(int64_t)distance;
	return true;
}

/* jmp *slot(%rip), behind endbr64 and bnd where they are used. */
bool ma_code_plt_slot(const uint8_t *code, size_t bytes, uint64_t address, uint64_t *slot)
{
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	size_t at = 0;
	int32_t distance;

	if (bytes > PLT_ENTRY_BYTES)
		bytes = PLT_ENTRY_BYTES;
	if (bytes > sizeof(endbr64) && !memcmp(code, endbr64, sizeof(endbr64)))
		at = sizeof(endbr64);
	if (at < bytes && code[at] == 0xf2)
		at++;
	if (at + 6 > bytes || code[at] != 0xff || code[at + 1] != 0x25)
		return false;
	memcpy(&distance, code + at + 2, sizeof(distance));
	*slot = address + at + 6 + (uint64_t)(int64_t)distance;
	return true;
}
