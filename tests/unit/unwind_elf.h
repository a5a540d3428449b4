/* SPDX-License-Identifier: MIT */
/* Small ELF files with call frame information, made by hand. */
#ifndef MA_TESTS_UNWIND_ELF_H
#define MA_TESTS_UNWIND_ELF_H

#include <stddef.h>
#include <stdint.h>

enum {
	UNWIND_ELF_CODE = 0x401000,
	UNWIND_ELF_CODE_BYTES = 0x1000,
	UNWIND_ELF_ROOM = 8192,
};

enum unwind_elf_kind { UNWIND_ELF_EH_FRAME, UNWIND_ELF_DEBUG_FRAME };

struct unwind_elf {
	enum unwind_elf_kind kind;
	uint8_t frames[UNWIND_ELF_ROOM]; /* the section */
	size_t bytes;
};

/* Begins a file whose functions enter with the CFA at rsp + 8 and the return address below it. */
void unwind_elf_begin(struct unwind_elf *elf, enum unwind_elf_kind kind);

/* Adds a function that begins so many bytes behind UNWIND_ELF_CODE. */
void unwind_elf_function(struct unwind_elf *elf, uint32_t offset, uint32_t bytes,
			 const uint8_t *program, size_t program_bytes);

/* Writes the file into a memfd, returned-owned. */
int unwind_elf_end(const struct unwind_elf *elf);

#endif
