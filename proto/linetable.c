/* SPDX-License-Identifier: MIT */
/* Decoding of CPython's three line-table formats; see linetable.h. */
#include "proto/linetable.h"

#include <stdbool.h>

enum {
	MINOR_RANGES = 10,    /* 3.10: ranges with signed line deltas */
	MINOR_LOCATIONS = 11, /* 3.11: PEP 657 */
	NO_LINE_DELTA = -128, /* 3.10: the range has no line */
	CODE_UNIT_BYTES = 2,
};

/* Kinds of a PEP 657 entry, bits 3 to 6 of its first byte (Objects/locations.md). */
enum location_kind {
	LOCATION_ONE_LINE_0 = 10, /* line delta 0, 1, 2; columns follow */
	LOCATION_ONE_LINE_2 = 12,
	LOCATION_NO_COLUMNS = 13,
	LOCATION_LONG = 14,
	LOCATION_NONE = 15,
};

static int checked_line(int64_t line)
{
	return line > 0 && line <= INT32_MAX ? (int)line : 0;
}

static int lnotab_line(int64_t line, const uint8_t *table, size_t bytes, uint32_t offset_bytes)
{
	uint64_t address = 0;
	for (size_t i = 0; i + 1 < bytes; i += 2) {
		address += table[i];
		if (address > offset_bytes)
			break;
		line += (int8_t)table[i + 1];
	}
	return checked_line(line);
}

static int ranges_line(int64_t line, const uint8_t *table, size_t bytes, uint32_t offset_bytes)
{
	uint64_t end = 0;
	for (size_t i = 0; i + 1 < bytes; i += 2) {
		int delta = (int8_t)table[i + 1];
		end += table[i];
		if (delta != NO_LINE_DELTA)
			line += delta;
		if (offset_bytes < end)
			return delta == NO_LINE_DELTA ? 0 : checked_line(line);
	}
	return 0;
}

/* A variable-length number: six bits a byte, low ones first, bit 6 says that more follow. */
static bool read_varint(const uint8_t *table, size_t bytes, size_t *at, uint32_t *value)
{
	uint32_t result = 0;
	for (unsigned shift = 0; shift < 32 && *at < bytes; shift += 6) {
		uint8_t byte = table[(*at)++];
		result |= (uint32_t)(byte & 63) << shift;
		if (!(byte & 64)) {
			*value = result;
			return true;
		}
	}
	return false;
}

/* The line delta of the entry at `at`; false when the table ends within it. */
static bool read_line_delta(const uint8_t *table, size_t bytes, size_t at, int64_t *delta)
{
	int kind = table[at] >> 3 & 15;
	uint32_t value;
	*delta = 0;
	if (kind >= LOCATION_ONE_LINE_0 && kind <= LOCATION_ONE_LINE_2) {
		*delta = kind - LOCATION_ONE_LINE_0;
	} else if (kind == LOCATION_NO_COLUMNS || kind == LOCATION_LONG) {
		at++;
		if (!read_varint(table, bytes, &at, &value))
			return false;
		*delta = value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
	}
	return true;
}

static int locations_line(int64_t line, const uint8_t *table, size_t bytes, uint32_t offset_bytes)
{
	uint64_t end = 0;
	size_t at = 0;
	while (at < bytes && table[at] & 128) {
		int64_t delta;
		if (!read_line_delta(table, bytes, at, &delta))
			return 0;
		line += delta;
		end += (table[at] & 7u) * CODE_UNIT_BYTES + CODE_UNIT_BYTES;
		if (offset_bytes < end)
			return (table[at] >> 3 & 15) == LOCATION_NONE ? 0 : checked_line(line);
		/* Only the first byte of an entry has its top bit set. */
		do {
			at++;
		} while (at < bytes && !(table[at] & 128));
	}
	return 0;
}

int ma_linetable_line(uint32_t python_version, int32_t first_line, const uint8_t *table,
		      size_t bytes, uint32_t offset_bytes)
{
	unsigned minor = python_version >> 16 & 0xff;
	if (minor >= MINOR_LOCATIONS)
		return locations_line(first_line, table, bytes, offset_bytes);
	if (minor >= MINOR_RANGES)
		return ranges_line(first_line, table, bytes, offset_bytes);
	return lnotab_line(first_line, table, bytes, offset_bytes);
}
