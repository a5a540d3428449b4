/* SPDX-License-Identifier: MIT */
/* See unwind_elf.h. */
#include "unwind_elf.h"

#include <elf.h>
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	FRAMES_ADDRESS = 0x500000,
	BUILD_ID_BYTES = 20,
	CIE_DEBUG = -1, /* the CIE id of .debug_frame */
};

static const char names[] = "\0.eh_frame\0.debug_frame\0.shstrtab";

static void put(struct unwind_elf *elf, const void *bytes, size_t count)
{
	if (elf->bytes + count > sizeof elf->frames)
		abort();
	if (count)
		memcpy(elf->frames + elf->bytes, bytes, count);
	elf->bytes += count;
}

static void put32(struct unwind_elf *elf, uint32_t word)
{
	put(elf, &word, sizeof word);
}

/* Fills a record up to a multiple of 8 and writes its length. */
static void close_record(struct unwind_elf *elf, size_t start)
{
	static const uint8_t nothing = DW_CFA_nop;
	while ((elf->bytes - start) % 8 != 4)
		put(elf, &nothing, 1);
	uint32_t length = (uint32_t)(elf->bytes - start - 4);
	memcpy(elf->frames + start, &length, sizeof length);
}

void unwind_elf_begin(struct unwind_elf *elf, enum unwind_elf_kind kind)
{
	/* Code alignment 1, data alignment -8, return address in 16; pointers pc-relative. */
	static const uint8_t eh[] = {
		1, 'z', 'R', 0, 1, 0x78, 16, 1, DW_EH_PE_pcrel | DW_EH_PE_sdata4};
	static const uint8_t debug[] = {1, 0, 1, 0x78, 16};
	static const uint8_t program[] = {DW_CFA_def_cfa, 7, 8, 0x80 | 16, 1};
	*elf = (struct unwind_elf){.kind = kind};
	put32(elf, 0);
	put32(elf, kind == UNWIND_ELF_EH_FRAME ? 0 : (uint32_t)CIE_DEBUG);
	if (kind == UNWIND_ELF_EH_FRAME)
		put(elf, eh, sizeof eh);
	else
		put(elf, debug, sizeof debug);
	put(elf, program, sizeof program);
	close_record(elf, 0);
}

void unwind_elf_function(struct unwind_elf *elf, uint32_t offset, uint32_t bytes,
			 const uint8_t *program, size_t program_bytes)
{
	static const uint8_t no_augmentation = 0;
	size_t start = elf->bytes;
	uint64_t address = UNWIND_ELF_CODE + (uint64_t)offset, length = bytes;
	put32(elf, 0);
	if (elf->kind == UNWIND_ELF_EH_FRAME) {
		put32(elf, (uint32_t)elf->bytes);
		put32(elf, (uint32_t)(address - FRAMES_ADDRESS - elf->bytes));
		put32(elf, bytes);
		put(elf, &no_augmentation, 1);
	} else {
		put32(elf, 0);
		put(elf, &address, sizeof address);
		put(elf, &length, sizeof length);
	}
	put(elf, program, program_bytes);
	close_record(elf, start);
}

static void write_all(int fd, const void *bytes, size_t count, off_t at)
{
	if (count && pwrite(fd, bytes, count, at) != (ssize_t)count)
		abort();
}

int unwind_elf_end(const struct unwind_elf *elf)
{
	enum { SEGMENTS = 2, SECTIONS = 3, CODE_OFFSET = 0x1000, FRAMES_OFFSET = 0x2000 };
	struct {
		Elf64_Nhdr head;
		char name[4];
		uint8_t id[BUILD_ID_BYTES];
	} note = {{4, BUILD_ID_BYTES, NT_GNU_BUILD_ID}, ELF_NOTE_GNU, {1, 2, 3}};
	off_t note_at = sizeof(Elf64_Ehdr) + SEGMENTS * sizeof(Elf64_Phdr);
	size_t names_at = FRAMES_OFFSET + elf->bytes;
	size_t sections_at = (names_at + sizeof names + 7) & ~(size_t)7;
	Elf64_Ehdr head = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_shoff = sections_at,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = SEGMENTS,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SECTIONS,
		.e_shstrndx = SECTIONS - 1,
	};
	Elf64_Phdr segments[SEGMENTS] = {
		{.p_type = PT_LOAD,
		 .p_flags = PF_R | PF_X,
		 .p_offset = CODE_OFFSET,
		 .p_vaddr = UNWIND_ELF_CODE,
		 .p_filesz = UNWIND_ELF_CODE_BYTES,
		 .p_memsz = UNWIND_ELF_CODE_BYTES},
		{.p_type = PT_NOTE, .p_offset = (Elf64_Off)note_at, .p_filesz = sizeof note},
	};
	Elf64_Shdr sections[SECTIONS] = {
		{.sh_type = SHT_NULL},
		{.sh_name = elf->kind == UNWIND_ELF_EH_FRAME ? 1 : 11,
		 .sh_type = SHT_PROGBITS,
		 .sh_addr = elf->kind == UNWIND_ELF_EH_FRAME ? FRAMES_ADDRESS : 0,
		 .sh_offset = FRAMES_OFFSET,
		 .sh_size = elf->bytes,
		 .sh_addralign = 8},
		{.sh_name = 24,
		 .sh_type = SHT_STRTAB,
		 .sh_offset = names_at,
		 .sh_size = sizeof names,
		 .sh_addralign = 1},
	};
	int fd = memfd_create("unwind-elf", MFD_CLOEXEC);
	write_all(fd, &head, sizeof head, 0);
	write_all(fd, segments, sizeof segments, sizeof head);
	write_all(fd, &note, sizeof note, note_at);
	write_all(fd, elf->frames, elf->bytes, FRAMES_OFFSET);
	write_all(fd, names, sizeof names, (off_t)names_at);
	write_all(fd, sections, sizeof sections, (off_t)sections_at);
	return fd;
}
