/* SPDX-License-Identifier: MIT */
#include "inject/hook/unwind_index.h"

enum { GENERATION_BITS = 17 };

bool ma_index_view_take(const struct ma_unwind_area *area, uint64_t bytes,
			struct ma_index_view *view)
{
	uint32_t current = __atomic_load_n(&area->current, __ATOMIC_ACQUIRE);

	if (!current || current > MA_UNWIND_INDEXES)
		return false;
	*view = (struct ma_index_view){
		.area = area,
		.bytes = bytes,
		.index = &area->index[current - 1],
	};
	view->sequence = __atomic_load_n(&view->index->sequence, __ATOMIC_ACQUIRE);
	/* The indexes take turns, and each one's sequence grows by two when it is its turn. */
	view->generation =
		(view->sequence / 2 * MA_UNWIND_INDEXES + current) & ((1u << GENERATION_BITS) - 1);
	return !(view->sequence & 1);
}

bool ma_index_view_holds(const struct ma_index_view *view)
{
	/* x86-64 keeps loads in their order; so must the compiler. */
	__asm__ volatile("" : : : "memory");
	return __atomic_load_n(&view->index->sequence, __ATOMIC_RELAXED) == view->sequence;
}

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static uint32_t load_count(const uint32_t *count, uint32_t most)
{
	uint32_t found = __atomic_load_n(count, __ATOMIC_RELAXED);

	return found < most ? found : most;
}

/* Does the area hold `count` items of so many bytes from offset `at` on, in their alignment? */
static bool holds(const struct ma_index_view *view, uint64_t at, uint64_t count, uint64_t bytes)
{
	return at < view->bytes && at % bytes == 0 && count <= (view->bytes - at) / bytes;
}

static const void *part(const struct ma_index_view *view, uint64_t at)
{
	return (const uint8_t *)view->area + at;
}

/* The row in force at an offset from the table's start. False when the table is none. */
static bool find_row(const struct ma_index_view *view, const struct ma_unwind_table *table,
		     uint64_t offset, uint32_t *row)
{
	const uint32_t *blocks = part(view, table->blocks), *rows = part(view, table->rows);
	uint64_t block = offset >> MA_UNWIND_BLOCK_BITS;
	uint32_t low, high;

	if (block >= table->block_count)
		return false;
	low = blocks[block];
	high = blocks[block + 1];
	if (low > high || high >= table->row_count || rows[low] > offset)
		return false;
	/* The row wanted is one of low .. high. */
	while (low < high) {
		uint32_t middle = high - (high - low) / 2;

		if (rows[middle] <= offset)
			low = middle;
		else
			high = middle - 1;
	}
	*row = low;
	return true;
}

static bool read_rule(const struct ma_index_view *view, const struct ma_unwind_module *module,
		      uint64_t pc, struct ma_unwind_rule *rule)
{
	struct ma_unwind_table table;
	uint64_t file_pc = pc - module->bias;
	uint32_t row;
	uint16_t number;

	if (module->table % 8 || module->table > view->bytes ||
	    sizeof table > view->bytes - module->table)
		return false;
	table = *(const struct ma_unwind_table *)part(view, module->table);
	if (!holds(view, table.blocks, (uint64_t)table.block_count + 1, sizeof(uint32_t)) ||
	    !holds(view, table.rows, table.row_count, sizeof(uint32_t)) ||
	    !holds(view, table.rules, table.row_count, sizeof(uint16_t)) ||
	    !holds(view, table.rule, table.rule_count, sizeof *rule))
		return false;
	if (file_pc < table.pc_first || file_pc >= table.pc_end)
		return true; /* nothing is known there */
	if (!find_row(view, &table, file_pc - table.pc_first, &row))
		return false;
	number = ((const uint16_t *)part(view, table.rules))[row];
	if (number >= table.rule_count)
		return false;
	*rule = ((const struct ma_unwind_rule *)part(view, table.rule))[number];
	return true;
}

enum ma_index_answer ma_index_find_rule(const struct ma_index_view *view, uint64_t pc,
					struct ma_unwind_rule *rule, uint32_t *module)
{
	const struct ma_unwind_module *modules = view->index->modules;
	uint32_t low = 0, high = load_count(&view->index->module_count, MA_UNWIND_MODULES);
	struct ma_unwind_module found;

	*rule = (struct ma_unwind_rule){.cfa = MA_CFA_NONE};
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (load(&modules[middle].start) <= pc)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return ma_index_view_holds(view) ? MA_INDEX_UNKNOWN : MA_INDEX_CHANGED;
	found = modules[low - 1];
	if (!ma_index_view_holds(view))
		return MA_INDEX_CHANGED;
	if (pc >= found.end || !found.id || found.id > UINT16_MAX)
		return MA_INDEX_UNKNOWN;
	*module = found.id;
	if (found.table && !read_rule(view, &found, pc, rule))
		return MA_INDEX_CHANGED;
	return MA_INDEX_FOUND;
}

enum ma_index_answer ma_index_find_stack(const struct ma_index_view *view, uint64_t address,
					 struct ma_unwind_stack *stack)
{
	const struct ma_unwind_stack *stacks = view->index->stacks;
	uint32_t low = 0, high = load_count(&view->index->stack_count, MA_UNWIND_STACKS);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (load(&stacks[middle].start) <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low)
		*stack = stacks[low - 1];
	if (!ma_index_view_holds(view))
		return MA_INDEX_CHANGED;
	return low && address < stack->end ? MA_INDEX_FOUND : MA_INDEX_UNKNOWN;
}
