/* SPDX-License-Identifier: MIT */
/* See unwind_table.h. */
#include "daemon/unwind_table.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { CRC_FROM = offsetof(struct ma_unwind_table_head, crc32) + sizeof(uint32_t) };

/* Where the parts begin, from the start of the head. */
struct layout {
	uint64_t blocks, rows, rules, rule, end;
};

static uint64_t align(uint64_t at)
{
	return (at + 7) & ~UINT64_C(7);
}

static struct layout lay_out(const struct ma_unwind_table_head *head)
{
	struct layout layout;
	layout.blocks = sizeof *head;
	layout.rows = align(layout.blocks + (head->block_count + UINT64_C(1)) * sizeof(uint32_t));
	layout.rules = align(layout.rows + head->row_count * sizeof(uint32_t));
	layout.rule = align(layout.rules + head->row_count * sizeof(uint16_t));
	layout.end = layout.rule + head->rule_count * sizeof(struct ma_unwind_rule);
	return layout;
}

static uint64_t block_count(uint64_t code_bytes)
{
	return ((code_bytes - 1) >> MA_UNWIND_BLOCK_BITS) + 1;
}

static uint32_t checksum(const struct ma_unwind_table_head *head)
{
	const uint8_t *from = (const uint8_t *)head + CRC_FROM;
	return (uint32_t)crc32_z(0, from, head->bytes - CRC_FROM);
}

static void fill_rows(const struct ma_unwind_parts *parts, uint32_t *rows, uint16_t *rules,
		      uint32_t *unsupported)
{
	for (uint32_t i = 0; i < parts->row_count; i++) {
		rows[i] = parts->rows[i].pc;
		rules[i] = parts->rows[i].rule;
		*unsupported += parts->rule[rules[i]].cfa == MA_CFA_UNSUPPORTED;
	}
}

static void fill_blocks(const uint32_t *rows, uint32_t row_count, uint32_t *blocks, uint32_t count)
{
	uint32_t row = 0;
	for (uint32_t i = 0; i < count; i++) {
		while (row + 1 < row_count && rows[row + 1] <= i << MA_UNWIND_BLOCK_BITS)
			row++;
		blocks[i] = row;
	}
	blocks[count] = row_count - 1;
}

void *ma_unwind_table_make(const struct ma_unwind_parts *parts, size_t *bytes)
{
	uint64_t code_bytes = parts->pc_end - parts->pc_first;
	if (parts->row_count == 0 || code_bytes == 0 || code_bytes > UINT32_MAX)
		return NULL;
	struct ma_unwind_table_head head = {
		.magic = MA_UNWIND_TABLE_MAGIC,
		.version = MA_UNWIND_COMPILER_VERSION,
		.pc_first = parts->pc_first,
		.pc_end = parts->pc_end,
		.block_count = (uint32_t)block_count(code_bytes),
		.row_count = parts->row_count,
		.rule_count = parts->rule_count,
		.functions = parts->functions,
		.skipped = parts->skipped,
	};
	struct layout layout = lay_out(&head);
	uint8_t *table = layout.end <= MA_UNWIND_TABLE_BYTES ? calloc(1, layout.end) : NULL;
	if (!table)
		return NULL;
	memcpy(head.hash, parts->hash, sizeof head.hash);
	head.bytes = layout.end;
	uint32_t *rows = (uint32_t *)(void *)(table + layout.rows);
	fill_rows(parts, rows, (uint16_t *)(void *)(table + layout.rules), &head.unsupported);
	fill_blocks(rows, head.row_count, (uint32_t *)(void *)(table + layout.blocks),
		    head.block_count);
	memcpy(table + layout.rule, parts->rule, parts->rule_count * sizeof *parts->rule);
	memcpy(table, &head, sizeof head);
	((struct ma_unwind_table_head *)(void *)table)->crc32 =
		checksum((struct ma_unwind_table_head *)(void *)table);
	*bytes = layout.end;
	return table;
}

static bool head_is_sound(const struct ma_unwind_table_head *head, size_t bytes)
{
	uint64_t code_bytes = head->pc_end - head->pc_first;
	return head->magic == MA_UNWIND_TABLE_MAGIC &&
	       head->version == MA_UNWIND_COMPILER_VERSION && head->bytes == bytes &&
	       bytes <= MA_UNWIND_TABLE_BYTES && head->pc_first < head->pc_end &&
	       code_bytes <= UINT32_MAX && head->block_count == block_count(code_bytes) &&
	       head->row_count > 0 && head->rule_count > 0 && head->rule_count <= MA_UNWIND_RULES &&
	       lay_out(head).end == bytes && checksum(head) == head->crc32;
}

static bool rows_are_sound(const struct ma_unwind_table_view *view)
{
	const struct ma_unwind_table_head *head = view->head;
	if (view->rows[0] != 0 || view->rows[head->row_count - 1] >= head->pc_end - head->pc_first)
		return false;
	for (uint32_t i = 0; i < head->row_count; i++) {
		if (view->rules[i] >= head->rule_count || (i && view->rows[i] <= view->rows[i - 1]))
			return false;
	}
	return true;
}

static bool blocks_are_sound(const struct ma_unwind_table_view *view)
{
	const struct ma_unwind_table_head *head = view->head;
	uint32_t row = 0;
	for (uint32_t i = 0; i < head->block_count; i++) {
		while (row + 1 < head->row_count &&
		       view->rows[row + 1] <= i << MA_UNWIND_BLOCK_BITS)
			row++;
		if (view->blocks[i] != row)
			return false;
	}
	return view->blocks[head->block_count] == head->row_count - 1;
}

static bool rule_is_sound(const struct ma_unwind_rule *rule)
{
	return rule->cfa <= MA_CFA_UNSUPPORTED && rule->reserved == 0;
}

bool ma_unwind_table_open(struct ma_unwind_table_view *view, const void *table, size_t bytes)
{
	const uint8_t *start = table;
	const struct ma_unwind_table_head *head = table;
	if (bytes < sizeof *head || !head_is_sound(head, bytes))
		return false;
	struct layout layout = lay_out(head);
	*view = (struct ma_unwind_table_view){
		.head = head,
		.blocks = (const uint32_t *)(const void *)(start + layout.blocks),
		.rows = (const uint32_t *)(const void *)(start + layout.rows),
		.rules = (const uint16_t *)(const void *)(start + layout.rules),
		.rule = (const struct ma_unwind_rule *)(const void *)(start + layout.rule),
	};
	if (!rows_are_sound(view) || !blocks_are_sound(view))
		return false;
	for (uint32_t i = 0; i < head->rule_count; i++) {
		if (!rule_is_sound(&view->rule[i]))
			return false;
	}
	return true;
}

const struct ma_unwind_rule *ma_unwind_table_find(const struct ma_unwind_table_view *view,
						  uint64_t pc)
{
	if (pc < view->head->pc_first || pc >= view->head->pc_end)
		return NULL;
	uint32_t offset = (uint32_t)(pc - view->head->pc_first);
	uint32_t low = view->blocks[offset >> MA_UNWIND_BLOCK_BITS];
	uint32_t high = view->blocks[(offset >> MA_UNWIND_BLOCK_BITS) + 1];
	while (low < high) {
		uint32_t middle = low + (high - low + 1) / 2;
		if (view->rows[middle] <= offset)
			low = middle;
		else
			high = middle - 1;
	}
	return &view->rule[view->rules[low]];
}
