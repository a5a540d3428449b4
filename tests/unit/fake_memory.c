/* SPDX-License-Identifier: MIT */
/* See fake_memory.h. The module is written by hand, so that each of its parts can be damaged. */
#include "fake_memory.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

static ssize_t fake_read(const struct ma_target_memory *memory, uint64_t address, void *buffer,
			 size_t bytes)
{
	struct fake_memory *fake = memory->context;
	uint64_t at = address - fake->base;
	fake->reads++;
	if (address < fake->base || at >= fake->size) {
		errno = EFAULT;
		return -1;
	}
	if (bytes > fake->size - at)
		bytes = (size_t)(fake->size - at);
	if (fake->largest_read && bytes > fake->largest_read)
		bytes = fake->largest_read;
	memcpy(buffer, fake->bytes + at, bytes);
	return (ssize_t)bytes;
}

static ssize_t fake_write(const struct ma_target_memory *memory, uint64_t address,
			  const void *buffer, size_t bytes)
{
	struct fake_memory *fake = memory->context;
	uint64_t at = address - fake->base;
	if (address < fake->base || at >= fake->size) {
		errno = EFAULT;
		return -1;
	}
	if (bytes > fake->size - at)
		bytes = (size_t)(fake->size - at);
	memcpy(fake->bytes + at, buffer, bytes);
	return (ssize_t)bytes;
}

struct ma_target_memory fake_memory_open(struct fake_memory *fake)
{
	static const struct ma_memory_ops ops = {.read = fake_read, .write = fake_write};
	return (struct ma_target_memory){
		.pid = -1, .fd = -1, .writable = true, .ops = &ops, .context = fake};
}

/* Layout of the file: code page, data page, constants page. */
enum {
	PROGRAMS = 0x40,
	NOTE = 0x200,
	GNU_HASH = 0x240,
	SYSV_HASH = 0x2c0,
	SYMBOLS = 0x340,
	STRINGS = 0x480,
	VERSIONS = 0x580,
	VERDEF = 0x5c0,
	DATA = 0x1000,
	DYNAMIC = 0x1100,
	CONSTANTS = 0x2000,
	SYMBOL_COUNT = 7,
};

static const char strings[] = "\0alpha\0beta\0gamma\0delta\0epsilon\0libfake.so.1\0FAKE_1\0FAKE_2";

static uint32_t name_offset(const char *name)
{
	for (size_t i = 1; i < sizeof strings; i += strlen(strings + i) + 1) {
		if (strcmp(strings + i, name) == 0)
			return (uint32_t)i;
	}
	return 0;
}

static uint32_t gnu_hash_of(const char *name)
{
	uint32_t hash = 5381;
	while (*name)
		hash = hash * 33 + (uint8_t)*name++;
	return hash;
}

static void put(uint8_t *bytes, size_t at, const void *data, size_t size)
{
	memcpy(bytes + at, data, size);
}

static void put_programs(uint8_t *bytes)
{
	const Elf64_Phdr programs[] = {
		{PT_LOAD, PF_R | PF_X, 0, 0, 0, DATA, DATA, 0x1000},
		{PT_LOAD, PF_R | PF_W, DATA, DATA, DATA, 0x1000, 0x1000, 0x1000},
		{PT_LOAD, PF_R, CONSTANTS, CONSTANTS, CONSTANTS, 0x1000, 0x1000, 0x1000},
		{PT_DYNAMIC, PF_R | PF_W, DYNAMIC, DYNAMIC, DYNAMIC, 0x200, 0x200, 8},
		{PT_NOTE, PF_R, NOTE, NOTE, NOTE, 36, 36, 4},
	};
	const Elf64_Ehdr header = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = PROGRAMS,
		.e_ehsize = sizeof header,
		.e_phentsize = sizeof programs[0],
		.e_phnum = sizeof programs / sizeof programs[0],
	};
	const Elf64_Nhdr note = {4, 20, NT_GNU_BUILD_ID};
	put(bytes, 0, &header, sizeof header);
	put(bytes, PROGRAMS, programs, sizeof programs);
	put(bytes, NOTE, &note, sizeof note);
	put(bytes, NOTE + 12, "GNU", 4);
	for (uint8_t i = 0; i < 20; i++)
		bytes[NOTE + 16 + i] = (uint8_t)(0xa0 + i);
}

static void put_symbols(uint8_t *bytes)
{
	const struct {
		const char *name;
		uint8_t type;
		uint16_t section;
		uint64_t value;
		uint16_t version;
	} symbols[SYMBOL_COUNT] = {
		{"", 0, 0, 0, 0},
		{"alpha", STT_FUNC, 1, FAKE_ALPHA_OLD, 2 | 0x8000},
		{"alpha", STT_FUNC, 1, FAKE_ALPHA, 3},
		{"beta", STT_OBJECT, 2, FAKE_BETA, 1},
		{"gamma", STT_GNU_IFUNC, 1, FAKE_GAMMA, 1},
		{"delta", STT_FUNC, SHN_UNDEF, 0x900, 1},
		{"epsilon", STT_TLS, 3, 0x10, 1},
	};
	uint32_t gnu[4 + 2 + 1 + SYMBOL_COUNT] = {1, 1, 1, 6, UINT32_MAX, UINT32_MAX, 1};
	uint32_t sysv[2 + 1 + SYMBOL_COUNT] = {1, SYMBOL_COUNT, 1};
	uint16_t versions[SYMBOL_COUNT];
	for (uint32_t i = 0; i < SYMBOL_COUNT; i++) {
		const Elf64_Sym symbol = {
			.st_name = name_offset(symbols[i].name),
			.st_info = ELF64_ST_INFO(STB_GLOBAL, symbols[i].type),
			.st_shndx = symbols[i].section,
			.st_value = symbols[i].value,
			.st_size = 16,
		};
		put(bytes, SYMBOLS + i * sizeof symbol, &symbol, sizeof symbol);
		versions[i] = symbols[i].version;
		if (i) /* one bucket: its chain is every symbol, the last one with the end bit */
			gnu[6 + i] = (gnu_hash_of(symbols[i].name) & ~1u) | (i == SYMBOL_COUNT - 1);
		sysv[3 + i] = i && i + 1 < SYMBOL_COUNT ? i + 1 : 0;
	}
	put(bytes, GNU_HASH, gnu, sizeof gnu);
	put(bytes, SYSV_HASH, sysv, sizeof sysv);
	put(bytes, VERSIONS, versions, sizeof versions);
	put(bytes, STRINGS, strings, sizeof strings);
}

static void put_versions(uint8_t *bytes)
{
	static const char *const names[] = {"libfake.so.1", "FAKE_1", "FAKE_2"};
	for (uint16_t i = 0; i < 3; i++) {
		const Elf64_Verdef definition = {
			.vd_version = 1,
			.vd_ndx = (uint16_t)(i + 1),
			.vd_cnt = 1,
			.vd_aux = sizeof definition,
			.vd_next = i < 2 ? sizeof definition + sizeof(Elf64_Verdaux) : 0,
		};
		const Elf64_Verdaux name = {.vda_name = name_offset(names[i])};
		size_t at = VERDEF + i * (sizeof definition + sizeof name);
		put(bytes, at, &definition, sizeof definition);
		put(bytes, at + sizeof definition, &name, sizeof name);
	}
}

struct fake_module fake_module_write(uint8_t bytes[FAKE_MODULE_BYTES], uint64_t base,
				     enum fake_hash hash, int relocated)
{
	uint64_t add = relocated ? base : 0;
	const Elf64_Dyn dynamic[] = {
		{DT_SONAME, {name_offset("libfake.so.1")}},
		{DT_SYMTAB, {SYMBOLS + add}},
		{DT_STRTAB, {STRINGS + add}},
		{DT_STRSZ, {sizeof strings}},
		{DT_SYMENT, {sizeof(Elf64_Sym)}},
		{hash == FAKE_GNU_HASH ? DT_GNU_HASH : DT_HASH,
		 {(hash == FAKE_GNU_HASH ? GNU_HASH : SYSV_HASH) + add}},
		{DT_VERSYM, {VERSIONS + add}},
		{DT_VERDEF, {VERDEF + add}},
		{DT_VERDEFNUM, {3}},
		{DT_NULL, {0}},
	};
	memset(bytes, 0, FAKE_MODULE_BYTES);
	put_programs(bytes);
	put_symbols(bytes);
	put_versions(bytes);
	put(bytes, DYNAMIC, dynamic, sizeof dynamic);
	return (struct fake_module){.programs = PROGRAMS,
				    .dynamic = DYNAMIC,
				    .symbols = SYMBOLS,
				    .strings = STRINGS,
				    .gnu_hash = GNU_HASH,
				    .gnu_chain = GNU_HASH + 28,
				    .sysv_hash = SYSV_HASH,
				    .versions = VERSIONS,
				    .verdef = VERDEF};
}
