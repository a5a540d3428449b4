/* SPDX-License-Identifier: MIT */
/*
 * Stacks of a snapshot: one Location per (code object, position), one Function per name, file and
 * first line, each made once and numbered in the order of their tables. See snapshot_builder.h.
 */
#include <string.h>

#include "daemon/snapshot_builder.h"
#include "proto/area_check.h"

enum { FIRST_ROOM = 256, INTERPRETER_MAPPING = 1 };

static const char *const pseudo_names[] = {
	[MA_PSEUDO_UNKNOWN_FUNCTION] = "(unknown function)",
	[MA_PSEUDO_NATIVE_THREAD] = "(native thread)",
	[MA_PSEUDO_STACK_UNKNOWN] = "(stack unknown)",
	[MA_PSEUDO_FINALIZING] = "(interpreter shutting down)",
	[MA_PSEUDO_FOREIGN] = "(sub-interpreter)",
	[MA_PSEUDO_OTHER] = "(other)",
	[MA_PSEUDO_TRUNCATED] = "(outer frames cut)",
	[MA_PSEUDO_BROKEN] = "(outer frames not readable)",
};

const char *ma_pseudo_frame_name(enum ma_pseudo_frame pseudo)
{
	return pseudo_names[pseudo];
}

/* A pseudo frame's key: code id 0, which no code object has. */
#define PSEUDO_KEY(pseudo) MA_FRAME(0, pseudo)

void ma_stack_builder_init(struct ma_stack_builder *builder, struct ma_pool *pool,
			   struct ma_strings *strings, struct ma_names *names,
			   const struct ma_tables *tables)
{
	memset(builder, 0, sizeof *builder);
	builder->pool = pool;
	builder->strings = strings;
	builder->names = names;
	builder->tables = tables;
}

void ma_stack_builder_fini(struct ma_stack_builder *builder)
{
	ma_idmap_fini(&builder->location_of_frame);
	ma_idmap_fini(&builder->function_of_code);
	ma_idmap_fini(&builder->function_of_key);
	ma_idmap_fini(&builder->stack_of_id);
}

/* A larger copy of an array in the pool; NULL when memory ran out. */
static void *larger(struct ma_pool *pool, const void *array, size_t count, size_t *room,
		    size_t item_bytes)
{
	size_t wanted = *room ? *room * 2 : FIRST_ROOM;
	void *copy = ma_pool_alloc(pool, wanted, item_bytes);
	if (!copy)
		return NULL;
	if (count)
		memcpy(copy, array, count * item_bytes);
	*room = wanted;
	return copy;
}

static void index_add(struct ma_stack_builder *builder, struct ma_idmap *map, uint64_t key,
		      size_t value)
{
	if (!ma_idmap_add(map, key, (uint32_t)value))
		builder->pool->failed = true;
}

/* The id of a new function; 0 when memory ran out. */
static uint64_t add_function(struct ma_stack_builder *builder, int64_t name, int64_t file,
			     int64_t first_line)
{
	if (builder->function_count == builder->function_room) {
		void *functions = larger(builder->pool, builder->functions, builder->function_count,
					 &builder->function_room, sizeof *builder->functions);
		if (!functions)
			return 0;
		builder->functions = functions;
	}
	Memattach__Function *function = ma_pool_alloc(builder->pool, 1, sizeof *function);
	if (!function)
		return 0;
	*function = (Memattach__Function)MEMATTACH__FUNCTION__INIT;
	function->id = builder->function_count + 1;
	function->name = name;
	function->filename = file;
	function->start_line = first_line;
	builder->functions[builder->function_count++] = function;
	return function->id;
}

/* Equal functions of different code objects (a module loaded twice) are one. */
static uint64_t find_function(struct ma_stack_builder *builder, const struct ma_code_name *code)
{
	int64_t name = ma_strings_add(builder->strings, code->function);
	int64_t file = ma_strings_add(builder->strings, code->file);
	int64_t line = code->first_line > 0 ? code->first_line : 0;
	uint64_t key = ((uint64_t)name * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)file) *
			       UINT64_C(0x9E3779B97F4A7C15) +
		       (uint64_t)line;
	uint32_t at;
	for (; (at = ma_idmap_find(&builder->function_of_key, key)) != MA_IDMAP_NONE; key++) {
		const Memattach__Function *known = builder->functions[at - 1];
		if (known->name == name && known->filename == file && known->start_line == line)
			return at;
	}
	uint64_t id = add_function(builder, name, file, line);
	if (id)
		index_add(builder, &builder->function_of_key, key, id);
	return id;
}

static uint64_t function_of(struct ma_stack_builder *builder, uint32_t code_id)
{
	uint32_t known = ma_idmap_find(&builder->function_of_code, code_id);
	if (known != MA_IDMAP_NONE)
		return known;
	const struct ma_code_name *code = ma_names_code(builder->names, code_id);
	if (!code)
		return 0;
	struct ma_code_name named = *code;
	if (!named.function[0])
		named.function = pseudo_names[MA_PSEUDO_UNKNOWN_FUNCTION];
	uint64_t id = find_function(builder, &named);
	if (id)
		index_add(builder, &builder->function_of_code, code_id, id);
	return id;
}

static uint64_t add_location(struct ma_stack_builder *builder, uint64_t key, uint64_t function_id,
			     int64_t line_number)
{
	if (builder->location_count == builder->location_room) {
		void *locations = larger(builder->pool, builder->locations, builder->location_count,
					 &builder->location_room, sizeof *builder->locations);
		if (!locations)
			return 0;
		builder->locations = locations;
	}
	Memattach__Location *location = ma_pool_alloc(builder->pool, 1, sizeof *location);
	Memattach__Line **lines = ma_pool_alloc(builder->pool, 1, sizeof *lines);
	Memattach__Line *line = ma_pool_alloc(builder->pool, 1, sizeof *line);
	if (!location || !lines || !line)
		return 0;
	*line = (Memattach__Line)MEMATTACH__LINE__INIT;
	line->function_id = function_id;
	line->line = line_number;
	*lines = line;
	*location = (Memattach__Location)MEMATTACH__LOCATION__INIT;
	location->id = builder->location_count + 1;
	location->mapping_id = INTERPRETER_MAPPING;
	location->n_line = 1;
	location->line = lines;
	builder->locations[builder->location_count++] = location;
	index_add(builder, &builder->location_of_frame, key, location->id);
	return location->id;
}

static uint64_t pseudo_location(struct ma_stack_builder *builder, enum ma_pseudo_frame pseudo)
{
	uint32_t known = ma_idmap_find(&builder->location_of_frame, PSEUDO_KEY(pseudo));
	if (known != MA_IDMAP_NONE)
		return known;
	struct ma_code_name code = {.function = pseudo_names[pseudo], .file = ""};
	uint64_t function_id = find_function(builder, &code);
	return function_id ? add_location(builder, PSEUDO_KEY(pseudo), function_id, 0) : 0;
}

static uint64_t frame_location(struct ma_stack_builder *builder, uint64_t frame)
{
	if (MA_FRAME_CODE(frame) == 0)
		return pseudo_location(builder, MA_PSEUDO_UNKNOWN_FUNCTION);
	uint32_t known = ma_idmap_find(&builder->location_of_frame, frame);
	if (known != MA_IDMAP_NONE)
		return known;
	uint64_t function_id = function_of(builder, MA_FRAME_CODE(frame));
	if (!function_id)
		return pseudo_location(builder, MA_PSEUDO_UNKNOWN_FUNCTION);
	return add_location(builder, frame, function_id, ma_names_line(builder->names, frame));
}

struct ma_built_stack ma_stack_builder_pseudo(struct ma_stack_builder *builder,
					      enum ma_pseudo_frame pseudo)
{
	struct ma_built_stack stack = {.ids = ma_pool_alloc(builder->pool, 1, sizeof *stack.ids)};
	if (stack.ids) {
		stack.ids[0] = pseudo_location(builder, pseudo);
		stack.count = stack.ids[0] ? 1 : 0;
	}
	return stack;
}

enum ma_pseudo_frame ma_pseudo_frame_instead(uint32_t flags)
{
	if (flags & MA_STACK_NO_PYTHON)
		return MA_PSEUDO_NATIVE_THREAD;
	if (flags & MA_STACK_FINALIZING)
		return MA_PSEUDO_FINALIZING;
	if (flags & MA_STACK_FOREIGN)
		return MA_PSEUDO_FOREIGN;
	return MA_PSEUDO_STACK_UNKNOWN;
}

/* Frames as locations; a stack whose outer part is missing says so at its root. */
static struct ma_built_stack build(struct ma_stack_builder *builder, const struct ma_stack *stack)
{
	struct ma_built_stack built = {0};
	uint64_t *ids = ma_pool_alloc(builder->pool, stack->frame_count + 1U, sizeof *ids);
	if (!ids)
		return built;
	built.ids = ids;
	for (uint32_t i = 0; i < stack->frame_count; i++) {
		uint64_t id = frame_location(builder, builder->frames[i]);
		if (id)
			ids[built.count++] = id;
	}
	uint64_t root = 0;
	if (stack->flags & MA_STACK_TRUNCATED)
		root = pseudo_location(builder, MA_PSEUDO_TRUNCATED);
	else if (stack->flags & MA_STACK_BROKEN)
		root = pseudo_location(builder, MA_PSEUDO_BROKEN);
	if (root)
		ids[built.count++] = root;
	return built;
}

static void keep_stack(struct ma_stack_builder *builder, uint32_t id, struct ma_built_stack built)
{
	if (builder->stack_count == builder->stack_room) {
		void *stacks = larger(builder->pool, builder->stacks, builder->stack_count,
				      &builder->stack_room, sizeof *builder->stacks);
		if (!stacks)
			return;
		builder->stacks = stacks;
	}
	builder->stacks[builder->stack_count] = built;
	index_add(builder, &builder->stack_of_id, id, builder->stack_count++);
}

struct ma_built_stack ma_stack_builder_site(struct ma_stack_builder *builder,
					    const struct ma_site *site, uint32_t *flags)
{
	struct ma_stack stack;
	*flags = site->flags;
	if (site->stack == 0)
		return ma_stack_builder_pseudo(builder, ma_pseudo_frame_instead(site->flags));
	uint32_t known = ma_idmap_find(&builder->stack_of_id, site->stack);
	bool copied = ma_stack_copy(builder->tables, site->stack, &stack, builder->frames) == 0;
	if (copied) {
		*flags |= stack.flags;
		ma_stack_keep_python(&stack, builder->frames);
	}
	if (known != MA_IDMAP_NONE)
		return builder->stacks[known];
	if (!copied)
		return ma_stack_builder_pseudo(builder, MA_PSEUDO_STACK_UNKNOWN);
	if (stack.frame_count == 0)
		return ma_stack_builder_pseudo(builder, ma_pseudo_frame_instead(stack.flags));
	struct ma_built_stack built = build(builder, &stack);
	keep_stack(builder, site->stack, built);
	return built;
}
