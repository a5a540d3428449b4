/* SPDX-License-Identifier: MIT */
/*
 * See unwind_compile.h. libdw is given an ELF file of our own making that holds the sections of the
 * source and nothing else. Per function (FDE) it is asked for the frame at the function's start, at
 * the end of that row, and so on: rows are keyed on the address asked for, because the start that
 * libdw 0.188 states is stale after DW_CFA_restore_state. Functions are in no order, may overlap
 * and leave gaps; sorting and sweeping them makes rows out of that, gaps included.
 */
#include "daemon/unwind_compile.h"

#include <dwarf.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/unwind_rules.h"
#include "daemon/unwind_table.h"

enum {
	PIECES_MAX = 16 << 20,
	FIRST_ROOM = 1 << 12,
	/* Sections of the file that libdw is given. */
	EH_FRAME = 1,
	DEBUG_FRAME,
	NAMES,
	SECTIONS,
	/* Pointer encodings (Linux Standard Base, DWARF extensions). */
	PE_FORMAT = 0x0f,
	PE_APPLICATION = 0x70,
};

static const char names[] = "\0.eh_frame\0.debug_frame\0.shstrtab";

/* A row before sorting; addresses count from the first executable byte. */
struct piece {
	uint32_t start, end;
	uint16_t rule;
	uint16_t rank; /* of two that begin at the same place the lower one counts */
};

struct compiler {
	const struct ma_unwind_source *source;
	struct ma_unwind_rules rules;
	struct piece *pieces;
	uint32_t piece_count, piece_room;
	uint64_t base; /* of the pieces' addresses */
	uint32_t functions, skipped;
	bool no_memory;
	uint8_t *image; /* the ELF file for libdw */
	size_t image_bytes;
	Elf *elf;
};

/* A section's functions, one after the other. */
struct walk {
	Dwarf_CFI *cfi;
	Elf_Data *data;
	uint64_t address; /* of the section; 0 in .debug_frame, whose pointers are absolute */
	bool eh_frame;
	uint16_t rank;
	Dwarf_Off cie; /* whose encoding this is */
	bool cie_known;
	int encoding; /* of its functions' addresses; -1: not understood */
};

static void write_section(struct compiler *compiler, int index, uint32_t name, uint32_t type,
			  uint64_t flags, const void *bytes, uint64_t size, uint64_t address,
			  uint64_t *at)
{
	Elf64_Shdr *headers = (Elf64_Shdr *)(void *)(compiler->image + sizeof(Elf64_Ehdr));
	headers[index] = (Elf64_Shdr){.sh_name = name,
				      .sh_type = type,
				      .sh_flags = flags,
				      .sh_addr = address,
				      .sh_offset = *at,
				      .sh_size = size,
				      .sh_addralign = 8};
	if (bytes)
		memcpy(compiler->image + *at, bytes, size);
	*at += (size + 7) & ~UINT64_C(7);
}

static bool write_image(struct compiler *compiler)
{
	const struct ma_unwind_section *eh = &compiler->source->eh_frame;
	const struct ma_unwind_section *debug = &compiler->source->debug_frame;
	uint64_t at = sizeof(Elf64_Ehdr) + SECTIONS * sizeof(Elf64_Shdr);
	compiler->image_bytes = at + eh->size + debug->size + sizeof names + 3 * 8;
	compiler->image = calloc(1, compiler->image_bytes);
	if (!compiler->image)
		return false;
	*(Elf64_Ehdr *)(void *)compiler->image = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_shoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = SECTIONS,
		.e_shstrndx = NAMES,
	};
	/* A section that the source has not is one without a name that anybody looks for. */
	write_section(compiler, EH_FRAME, eh->bytes ? 1 : 0, SHT_PROGBITS, eh->flags, eh->bytes,
		      eh->size, eh->address, &at);
	write_section(compiler, DEBUG_FRAME, debug->bytes ? 11 : 0, SHT_PROGBITS, debug->flags,
		      debug->bytes, debug->size, 0, &at);
	write_section(compiler, NAMES, 24, SHT_STRTAB, 0, names, sizeof names, 0, &at);
	return true;
}

static void add_piece(struct compiler *compiler, uint64_t start, uint64_t end, uint16_t rule,
		      uint16_t rank)
{
	if (compiler->piece_count == compiler->piece_room) {
		uint32_t room = compiler->piece_room ? compiler->piece_room * 2 : FIRST_ROOM;
		void *larger = room <= PIECES_MAX
				       ? realloc(compiler->pieces, room * sizeof(struct piece))
				       : NULL;
		compiler->no_memory |= !larger;
		if (!larger)
			return;
		compiler->pieces = larger;
		compiler->piece_room = room;
	}
	compiler->pieces[compiler->piece_count++] = (struct piece){
		(uint32_t)(start - compiler->base), (uint32_t)(end - compiler->base), rule, rank};
}

/* Bytes of a pointer in some encoding, 0 = another one. */
static unsigned pointer_bytes(int encoding)
{
	switch (encoding & PE_FORMAT) {
	case DW_EH_PE_absptr:
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		return 8;
	case DW_EH_PE_udata4:
	case DW_EH_PE_sdata4:
		return 4;
	case DW_EH_PE_udata2:
	case DW_EH_PE_sdata2:
		return 2;
	default:
		return 0;
	}
}

static uint64_t read_pointer(const uint8_t *at, unsigned bytes, bool is_signed)
{
	uint64_t value = 0;
	memcpy(&value, at, bytes);
	if (is_signed && bytes < 8)
		value = (uint64_t)((int64_t)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes));
	return value;
}

/* What the augmentation of a CIE says about its functions' addresses. */
static int encoding_of(const Dwarf_CIE *cie)
{
	const char *letter = cie->augmentation;
	const uint8_t *data = cie->augmentation_data;
	size_t left = cie->augmentation_data_size;
	if (!letter || *letter != 'z')
		return letter && *letter == 0 ? DW_EH_PE_absptr : -1;
	for (letter++; *letter && left; letter++) {
		size_t used = *letter == 'R' || *letter == 'P' || *letter == 'L' ? 1 : 0;
		if (*letter == 'R')
			return *data;
		if (*letter == 'P')
			used += pointer_bytes(*data);
		if (used > left)
			return -1;
		data += used;
		left -= used;
	}
	return DW_EH_PE_absptr;
}

static int encoding_at(struct walk *walk, const Elf *elf, Dwarf_Off offset)
{
	Dwarf_CFI_Entry entry;
	Dwarf_Off next;
	const unsigned char *ident = (const unsigned char *)elf_getident((Elf *)elf, NULL);
	if (walk->cie_known && walk->cie == offset)
		return walk->encoding;
	walk->cie = offset;
	walk->cie_known = true;
	walk->encoding = -1;
	if (dwarf_next_cfi(ident, walk->data, walk->eh_frame, offset, &next, &entry) == 0 &&
	    dwarf_cfi_cie_p(&entry))
		walk->encoding = walk->eh_frame ? encoding_of(&entry.cie) : DW_EH_PE_absptr;
	return walk->encoding;
}

static bool find_range(struct compiler *compiler, struct walk *walk, const Dwarf_FDE *fde,
		       uint64_t *start, uint64_t *end)
{
	int encoding = encoding_at(walk, compiler->elf, fde->CIE_pointer);
	unsigned bytes = encoding < 0 ? 0 : pointer_bytes(encoding);
	int application = encoding & PE_APPLICATION;
	if (bytes == 0 || fde->start > fde->end || (size_t)(fde->end - fde->start) < 2 * bytes ||
	    (application != DW_EH_PE_absptr && application != DW_EH_PE_pcrel))
		return false;
	*start = read_pointer(fde->start, bytes, encoding & DW_EH_PE_signed);
	if (application == DW_EH_PE_pcrel)
		*start +=
			walk->address + (uint64_t)(fde->start - (const uint8_t *)walk->data->d_buf);
	*end = *start + read_pointer(fde->start + bytes, bytes, false);
	return *end > *start;
}

/* Is it code of this file? */
static bool is_code(const struct ma_unwind_source *source, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < source->code_count; i++) {
		const struct ma_unwind_code *code = &source->code[i];
		if (start >= code->address && end <= code->address + code->bytes)
			return end - source->code[0].address <= UINT32_MAX;
	}
	return false;
}

static void take_function(struct compiler *compiler, struct walk *walk, const Dwarf_FDE *fde)
{
	uint64_t pc, end;
	if (!find_range(compiler, walk, fde, &pc, &end) || !is_code(compiler->source, pc, end)) {
		compiler->skipped++;
		return;
	}
	compiler->functions++;
	while (pc < end && !compiler->no_memory) {
		Dwarf_Frame *frame;
		Dwarf_Addr stale, row_end;
		bool signal;
		if (dwarf_cfi_addrframe(walk->cfi, pc, &frame) != 0) {
			compiler->skipped++;
			return;
		}
		struct ma_unwind_rule rule = ma_unwind_rule_of(frame);
		int code = dwarf_frame_info(frame, &stale, &row_end, &signal);
		free(frame);
		if (code < 0 || row_end <= pc || row_end > end)
			row_end = end;
		add_piece(compiler, pc, row_end, ma_unwind_rules_index(&compiler->rules, &rule),
			  walk->rank);
		pc = row_end;
	}
}

static void take_functions(struct compiler *compiler, struct walk *walk)
{
	const unsigned char *ident = (const unsigned char *)elf_getident(compiler->elf, NULL);
	Dwarf_Off offset = 0, next = 0;
	Dwarf_CFI_Entry entry;
	int result;
	if (!walk->cfi || !walk->data || !walk->data->d_buf)
		return;
	while ((result = dwarf_next_cfi(ident, walk->data, walk->eh_frame, offset, &next,
					&entry)) == 0 &&
	       next > offset && !compiler->no_memory) {
		offset = next;
		if (!dwarf_cfi_cie_p(&entry))
			take_function(compiler, walk, &entry.fde);
	}
	compiler->skipped += result < 0;
}

static Elf_Data *data_of(Elf *elf, size_t index)
{
	Elf_Scn *section = elf_getscn(elf, index);
	return section ? elf_getdata(section, NULL) : NULL;
}

static void take_sections(struct compiler *compiler)
{
	const struct ma_unwind_source *source = compiler->source;
	if (source->eh_frame.bytes) {
		struct walk walk = {.eh_frame = true,
				    .address = source->eh_frame.address,
				    .cfi = dwarf_getcfi_elf(compiler->elf),
				    .data = data_of(compiler->elf, EH_FRAME)};
		take_functions(compiler, &walk);
		dwarf_cfi_end(walk.cfi);
	}
	Dwarf *dwarf = source->debug_frame.bytes
			       ? dwarf_begin_elf(compiler->elf, DWARF_C_READ, NULL)
			       : NULL;
	if (dwarf) {
		struct walk walk = {.rank = 1,
				    .cfi = dwarf_getcfi(dwarf),
				    .data = data_of(compiler->elf, DEBUG_FRAME)};
		take_functions(compiler, &walk);
		dwarf_end(dwarf); /* its cfi goes with it */
	}
}

static int compare_pieces(const void *left, const void *right)
{
	const struct piece *a = left, *b = right;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->rank != b->rank ? (a->rank < b->rank ? -1 : 1) : 0;
}

static void add_row(struct ma_unwind_row *rows, uint32_t *count, uint32_t pc, uint16_t rule)
{
	if (*count && rows[*count - 1].rule == rule)
		return;
	rows[(*count)++] = (struct ma_unwind_row){.pc = pc, .rule = rule};
}

/* From pieces to rows. The caller has sorted them; rows has room for two of each. */
static uint32_t sweep(const struct piece *pieces, uint32_t count, struct ma_unwind_row *rows,
		      uint32_t *end)
{
	uint32_t first = pieces[0].start, at = first, row_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct piece *piece = &pieces[i];
		if (piece->end <= at)
			continue;
		if (piece->start > at)
			add_row(rows, &row_count, at - first, 0);
		at = piece->start > at ? piece->start : at;
		add_row(rows, &row_count, at - first, piece->rule);
		at = piece->end;
	}
	*end = at;
	return row_count;
}

static int make_table(struct compiler *compiler, void **table, size_t *bytes,
		      struct ma_error *error)
{
	uint32_t count = compiler->piece_count, end;
	struct ma_unwind_row *rows = malloc((2 * (size_t)count + 1) * sizeof *rows);
	if (rows) {
		qsort(compiler->pieces, count, sizeof *compiler->pieces, compare_pieces);
		uint32_t row_count = sweep(compiler->pieces, count, rows, &end);
		const struct ma_unwind_parts parts = {
			.pc_first = compiler->base + compiler->pieces[0].start,
			.pc_end = compiler->base + end,
			.rows = rows,
			.row_count = row_count,
			.rule = compiler->rules.rule,
			.rule_count = compiler->rules.count,
			.functions = compiler->functions,
			.skipped = compiler->skipped,
			.hash = compiler->source->hash,
		};
		*table = ma_unwind_table_make(&parts, bytes);
		free(rows);
	}
	if (*table)
		return 0;
	return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "compiling an unwind table");
}

int ma_unwind_compile(const struct ma_unwind_source *source, void **table, size_t *bytes,
		      struct ma_error *error)
{
	struct compiler compiler = {.source = source};
	int code = 0;
	*table = NULL;
	elf_version(EV_CURRENT);
	compiler.base = source->code_count ? source->code[0].address : 0;
	if (!ma_unwind_rules_init(&compiler.rules) || !write_image(&compiler) ||
	    !(compiler.elf = elf_memory((char *)compiler.image, compiler.image_bytes)))
		compiler.no_memory = true;
	else
		take_sections(&compiler);
	if (compiler.no_memory)
		code = ma_error_set(error, MA_ERR_FAILED, ENOMEM, "compiling an unwind table");
	else if (compiler.piece_count == 0)
		code = ma_error_set(error, MA_ERR_PROTOCOL, 0, "compiling an unwind table");
	else
		code = make_table(&compiler, table, bytes, error);
	if (code == MA_ERR_PROTOCOL)
		ma_error_answer(error, "the file does not say how to unwind it");
	elf_end(compiler.elf);
	free(compiler.image);
	free(compiler.pieces);
	ma_unwind_rules_fini(&compiler.rules);
	return code;
}
