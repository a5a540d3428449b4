/* SPDX-License-Identifier: MIT */
/*
 * An ELF module as it lies in the target's memory: its segments, its dynamic section, its symbols.
 * Nothing is read from the file, which may be gone or another one by now. The memory may be
 * hostile: every count and offset is checked, every loop is bounded, and a module that makes no
 * sense is an error, never a crash. ELF-64 gABI; DT_GNU_HASH as binutils and glibc have it.
 */
#ifndef MA_INJECT_ELF_MEMORY_H
#define MA_INJECT_ELF_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/remote_memory.h"
#include "proto/error.h"

enum { MA_MODULE_SEGMENTS = 16 };

/* A PT_LOAD segment, in target addresses. */
struct ma_segment {
	uint64_t start; /* not rounded to pages */
	uint64_t end;
	uint64_t file_end; /* up to here it comes from the file; the rest is .bss */
	int protection;    /* PROT_READ ... as the file asks */
};

struct ma_module {
	struct ma_raddr base; /* of the ELF header */
	uint64_t bias;        /* what is added to addresses of the file; 0 for ET_EXEC */
	uint64_t start;       /* page range that the segments span */
	uint64_t end;
	uint16_t elf_type; /* ET_EXEC or ET_DYN */
	int segment_count;
	struct ma_segment segment[MA_MODULE_SEGMENTS];
	bool has_interpreter;    /* PT_INTERP: an executable */
	char path[256];          /* as the caller knows it; may be "" */
	char soname[128];        /* DT_SONAME or "" */
	char build_id[44];       /* hexadecimal or "" */
	struct ma_raddr dynamic; /* 0 = none: a static program */
	struct ma_raddr debug;   /* DT_DEBUG's value: struct r_debug, 0 = none */

	/* of the dynamic section, in target addresses */
	uint64_t symbols;
	uint64_t strings;
	uint64_t strings_bytes;
	uint64_t gnu_hash;
	uint64_t sysv_hash;
	uint64_t versions; /* DT_VERSYM */
	uint64_t verdef;
	uint32_t verdef_count;
	/* GNU hash header, read once */
	uint32_t gnu_buckets;
	uint32_t gnu_first;
	uint32_t gnu_bloom_words;
	uint32_t gnu_bloom_shift;
};

/* Reads a module whose ELF header is at base. MA_ERR_PROTOCOL says what is wrong with it. */
int ma_module_open(const struct ma_target_memory *memory, struct ma_raddr base,
		   struct ma_module *module, struct ma_error *error);

struct ma_symbol {
	struct ma_raddr address; /* value + bias */
	uint64_t size;
	uint8_t type;     /* STT_FUNC, STT_OBJECT, STT_GNU_IFUNC ... */
	uint8_t binding;  /* STB_GLOBAL, STB_WEAK ... */
	char version[32]; /* "GLIBC_2.34", "" = unversioned */
};

/*
 * Looks a definition up by name. Undefined symbols (st_shndx 0, whatever st_value says: in a
 * non-PIE executable that is the canonical PLT entry) and TLS symbols are no definitions. Of
 * several versions the default one is taken, as dlsym would; a hidden one when there is no other.
 * Returns 1 = found, 0 = the module does not define it, or a negative enum ma_err.
 */
int ma_module_symbol(const struct ma_target_memory *memory, const struct ma_module *module,
		     const char *name, struct ma_symbol *symbol, struct ma_error *error);

/* The segment that holds [address, address + bytes), or NULL. */
const struct ma_segment *ma_module_segment(const struct ma_module *module, uint64_t address,
					   uint64_t bytes);

#endif
