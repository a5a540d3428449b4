/* SPDX-License-Identifier: MIT */
/*
 * An unwind table by itself, before it is placed in an unwind area (proto/unwind.h): the form in
 * which the compiler's process hands it over and in which the cache keeps it. Whoever takes one
 * from outside opens it with ma_unwind_table_open, after which nothing in it can lead astray; it
 * can still be wrong.
 */
#ifndef MA_DAEMON_UNWIND_TABLE_H
#define MA_DAEMON_UNWIND_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/sha256.h"
#include "proto/unwind.h"

#define MA_UNWIND_TABLE_MAGIC UINT64_C(0x656c6261746d6175) /* "uamtable" in memory order */

enum {
	MA_UNWIND_COMPILER_VERSION = 1, /* raised when the same file gives another table */
	MA_UNWIND_TABLE_BYTES = 64 << 20,
	MA_UNWIND_RULES = 1 << 16,
};

/*
 * The head; blocks, rows, rules and rule follow as in the area, each at the next multiple of 8, and
 * the last one ends the table.
 */
struct ma_unwind_table_head {
	uint64_t magic;
	uint32_t version;              /* MA_UNWIND_COMPILER_VERSION */
	uint32_t crc32;                /* of everything behind this field */
	uint64_t bytes;                /* of the whole */
	uint8_t hash[MA_SHA256_BYTES]; /* of the source */
	uint64_t pc_first, pc_end;
	uint32_t block_count, row_count, rule_count;
	uint32_t unsupported; /* rows with MA_CFA_UNSUPPORTED */
	uint32_t functions;   /* that rows came from */
	uint32_t skipped;     /* functions whose description made no sense */
};

_Static_assert(sizeof(struct ma_unwind_table_head) == 96, "a head is 96 bytes");

/* A table that has been checked; it points into the bytes that it was opened from. */
struct ma_unwind_table_view {
	const struct ma_unwind_table_head *head;
	const uint32_t *blocks;
	const uint32_t *rows;
	const uint16_t *rules;
	const struct ma_unwind_rule *rule;
};

/* A row while tables are made; pc counts from pc_first. */
struct ma_unwind_row {
	uint32_t pc;
	uint16_t rule;
	uint16_t reserved;
};

/* What a table is made of. rows: ascending, the first at 0; all borrowed. */
struct ma_unwind_parts {
	uint64_t pc_first, pc_end;
	const struct ma_unwind_row *rows;
	uint32_t row_count;
	const struct ma_unwind_rule *rule;
	uint32_t rule_count;
	uint32_t functions, skipped;
	const uint8_t *hash; /* MA_SHA256_BYTES */
};

/* Lays a table out; returned-owned (free), its size in *bytes. NULL: no memory, or too large. */
void *ma_unwind_table_make(const struct ma_unwind_parts *parts, size_t *bytes);

/* Checks a table of so many bytes (8-byte aligned) in every respect. false: it is none. */
bool ma_unwind_table_open(struct ma_unwind_table_view *view, const void *table, size_t bytes);

/* The rule in force at an address as the file counts them; NULL outside of the table. */
const struct ma_unwind_rule *ma_unwind_table_find(const struct ma_unwind_table_view *view,
						  uint64_t pc);

#endif
