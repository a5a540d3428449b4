/* SPDX-License-Identifier: MIT */
/*
 * .eh_frame_hdr is a sorted table of where each function's unwind entry begins (Linux Standard
 * Base, "Exception Frames"); a split function has an entry for each part.
 */
#include "proto/cold_part.h"

#include <stdlib.h>
#include <string.h>

#include "proto/code_x86_64.h"

enum {
	MAX_FUNCTION_BYTES = 1 << 20,
	MAX_ENTRIES = 1 << 20,
	FEW_JUMPS = 3, /* bytes that look like a jump may be none */
	LAST_BYTES = 4096,
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

static bool read_table(const struct ma_code_source *source, struct table *table)
{
	uint8_t head[HEADER_BYTES];

	*table = (struct table){.address = source->unwind_header};
	if (!table->address || source->read(source->context, table->address, head, sizeof(head)) ||
	    head[0] != 1 || head[2] != COUNT_UDATA4 || head[3] != TABLE_DATAREL_SDATA4)
		return false;
	memcpy(&table->count, head + 8, sizeof(table->count));
	if (!table->count || table->count > MAX_ENTRIES)
		return false;
	table->row = calloc(table->count, sizeof(table->row[0]));
	return table->row && !source->read(source->context, table->address + HEADER_BYTES,
					   table->row, table->count * sizeof(table->row[0]));
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

static bool has(const struct ma_code_range *range, uint64_t address)
{
	return address >= range->start && address < range->end;
}

/* The row that most jumps out of the function lead into the middle of; count = none. */
static uint32_t most_wanted(const struct table *table, const struct ma_code_range *function,
			    const uint8_t *code)
{
	uint64_t bytes = function->end - function->start, target;
	uint32_t *jumps = calloc(table->count, sizeof(*jumps));
	uint32_t best = table->count, most = FEW_JUMPS - 1;

	for (uint64_t at = 0; jumps && at < bytes; at++) {
		uint32_t row;

		if (!ma_code_jump_target(code + at, bytes - at, function->start + at, &target) ||
		    has(function, target))
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

bool ma_cold_part_find(const struct ma_code_source *source, const struct ma_code_range *function,
		       struct ma_code_range *part)
{
	uint64_t bytes = function->end - function->start;
	struct table table;
	uint8_t *code = NULL;
	uint32_t row;
	bool found = false;

	if (function->end <= function->start || bytes > MAX_FUNCTION_BYTES)
		return false;
	code = malloc(bytes);
	if (read_table(source, &table) && code &&
	    !source->read(source->context, function->start, code, bytes)) {
		row = most_wanted(&table, function, code);
		found = row < table.count;
		if (found) {
			part->start = start_of(&table, row);
			part->end = row + 1 < table.count ? start_of(&table, row + 1)
							  : part->start + LAST_BYTES;
		}
	}
	free(table.row);
	free(code);
	return found;
}
