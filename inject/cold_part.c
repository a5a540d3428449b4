/* SPDX-License-Identifier: MIT */
/*
 * .eh_frame_hdr is a sorted table of where each function's unwind entry begins (Linux Standard
 * Base, "Exception Frames"); a split function has an entry for each part.
 */
#include "inject/cold_part.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "inject/arch/arch.h"

enum {
	HEADERS = 64,
	MAX_FUNCTION_BYTES = 1 << 20,
	MAX_ENTRIES = 1 << 20,
	FEW_JUMPS = 3, /* bytes that look like a jump may be none */
	/* Encodings of .eh_frame_hdr that linkers write: version, pointer, count, table. */
	HEADER_BYTES = 12,
	COUNT_UDATA4 = 0x03,
	TABLE_DATAREL_SDATA4 = 0x3b,
};

/* A row of the table, both relative to the header. */
struct row {
	int32_t start;
	int32_t entry;
};

struct table {
	uint64_t address;
	struct row *row; /* owned */
	uint32_t count;
};

static uint64_t find_header(const struct ma_target_memory *memory, const struct ma_module *module)
{
	Elf64_Ehdr elf;
	Elf64_Phdr header[HEADERS];

	if (ma_memory_read(memory, module->base, &elf, sizeof(elf), NULL) || !elf.e_phnum ||
	    elf.e_phnum > HEADERS || elf.e_phentsize != sizeof(header[0]) ||
	    ma_memory_read(memory, ma_raddr_add(module->base, elf.e_phoff), header,
			   elf.e_phnum * sizeof(header[0]), NULL))
		return 0;
	for (int i = 0; i < elf.e_phnum; i++)
		if (header[i].p_type == PT_GNU_EH_FRAME)
			return header[i].p_vaddr + module->bias;
	return 0;
}

static bool read_table(const struct ma_target_memory *memory, const struct ma_module *module,
		       struct table *table)
{
	uint8_t head[HEADER_BYTES];

	*table = (struct table){.address = find_header(memory, module)};
	if (!table->address ||
	    ma_memory_read(memory, ma_raddr(table->address), head, sizeof(head), NULL) ||
	    head[0] != 1 || head[2] != COUNT_UDATA4 || head[3] != TABLE_DATAREL_SDATA4)
		return false;
	memcpy(&table->count, head + 8, sizeof(table->count));
	if (!table->count || table->count > MAX_ENTRIES)
		return false;
	table->row = calloc(table->count, sizeof(table->row[0]));
	return table->row &&
	       !ma_memory_read(memory, ma_raddr(table->address + HEADER_BYTES), table->row,
			       table->count * sizeof(table->row[0]), NULL);
}

static uint64_t start_of(const struct table *table, uint32_t index)
{
	return table->address + (uint64_t)(int64_t)table->row[index].start;
}

/* The last row that begins at or before an address; count = none. */
static uint32_t row_of(const struct table *table, uint64_t address)
{
	uint32_t low = 0, high = table->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (start_of(table, middle) <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? low - 1 : table->count;
}

/* The row that most jumps out of the function lead into the middle of; count = none. */
static uint32_t most_wanted(const struct table *table, const struct ma_range *function,
			    const uint8_t *code)
{
	uint64_t bytes = function->end - function->start, target;
	uint32_t *jumps = calloc(table->count, sizeof(*jumps));
	uint32_t best = table->count, most = FEW_JUMPS - 1;

	for (uint64_t at = 0; jumps && at < bytes; at++) {
		uint32_t row;

		if (!ma_arch.jump_target(code + at, bytes - at, function->start + at, &target) ||
		    ma_range_has(function, target))
			continue;
		row = row_of(table, target);
		if (row == table->count || start_of(table, row) == target)
			continue;
		if (++jumps[row] > most) {
			most = jumps[row];
			best = row;
		}
	}
	free(jumps);
	return best;
}

bool ma_cold_part_find(const struct ma_target_memory *memory, const struct ma_module *module,
		       const struct ma_range *function, struct ma_range *part)
{
	uint64_t bytes = function->end - function->start;
	const struct ma_segment *segment;
	struct table table;
	uint8_t *code = NULL;
	uint32_t row;
	bool found = false;

	if (function->end <= function->start || bytes > MAX_FUNCTION_BYTES)
		return false;
	code = malloc(bytes);
	if (read_table(memory, module, &table) && code &&
	    !ma_memory_read(memory, ma_raddr(function->start), code, bytes, NULL)) {
		row = most_wanted(&table, function, code);
		segment = row < table.count ? ma_module_segment(module, start_of(&table, row), 1)
					    : NULL;
		found = segment && (segment->protection & PROT_EXEC);
		if (found)
			*part = (struct ma_range){.start = start_of(&table, row),
						  .end = row + 1 < table.count
								 ? start_of(&table, row + 1)
								 : segment->end};
	}
	free(table.row);
	free(code);
	return found;
}
