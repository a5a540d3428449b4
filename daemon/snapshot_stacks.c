/* SPDX-License-Identifier: MIT */
/*
 * Stacks of a snapshot: one Location per (code object, position), one Function per name, file and
 * first line, each made once and numbered in the order of their tables. See snapshot_builder.h.
 */
#include <string.h>

#include "daemon/snapshot_builder.h"
#include "proto/area_check.h"
#include "proto/unwind.h"

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
			   struct ma_strings *strings, struct ma_session *session,
			   bool without_native)
{
	memset(builder, 0, sizeof *builder);
	builder->pool = pool;
	builder->strings = strings;
	builder->names = &session->names;
	builder->native = &session->native;
	builder->without_native = without_native;
	builder->tables = &session->map.area->tables;
	ma_stack_builder_interpreter(builder, session);
}

void ma_stack_builder_fini(struct ma_stack_builder *builder)
{
	ma_idmap_fini(&builder->location_of_frame);
	ma_idmap_fini(&builder->function_of_code);
	ma_idmap_fini(&builder->function_of_key);
	ma_idmap_fini(&builder->shown_of_id);
	ma_idmap_fini(&builder->shown_of_hash);
	ma_idmap_fini(&builder->stack_of_shown);
	ma_idmap_fini(&builder->mapping_of_module);
}

bool ma_stack_builder_room(struct ma_stack_builder *builder, void **array, size_t count,
			   size_t *room, size_t item_bytes)
{
	if (count < *room)
		return true;
	size_t wanted = *room ? *room * 2 : FIRST_ROOM;
	void *copy = ma_pool_alloc(builder->pool, wanted, item_bytes);
	if (!copy)
		return false;
	if (count)
		memcpy(copy, *array, count * item_bytes);
	*array = copy;
	*room = wanted;
	return true;
}

static void index_add(struct ma_stack_builder *builder, struct ma_idmap *map, uint64_t key,
		      size_t value)
{
	if (!ma_idmap_add(map, key, (uint32_t)value))
		builder->pool->failed = true;
}

/* The id of a new function; 0 when memory ran out. */
static uint64_t add_function(struct ma_stack_builder *builder, const struct ma_built_function *from)
{
	if (!ma_stack_builder_room(builder, (void **)&builder->functions, builder->function_count,
				   &builder->function_room, sizeof *builder->functions))
		return 0;
	Memattach__Function *function = ma_pool_alloc(builder->pool, 1, sizeof *function);
	if (!function)
		return 0;
	*function = (Memattach__Function)MEMATTACH__FUNCTION__INIT;
	function->id = builder->function_count + 1;
	function->name = from->name;
	function->system_name = from->linkage;
	function->filename = from->file;
	function->start_line = from->first_line;
	builder->functions[builder->function_count++] = function;
	return function->id;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ hash >> 32;
}

/* Equal functions of different code objects (a module loaded twice) are one. */
uint64_t ma_stack_builder_function(struct ma_stack_builder *builder,
				   const struct ma_built_function *function)
{
	uint64_t key = mix(mix(mix((uint64_t)function->name, (uint64_t)function->file),
			       (uint64_t)function->first_line),
			   (uint64_t)function->linkage);
	uint32_t at;
	for (; (at = ma_idmap_find(&builder->function_of_key, key)) != MA_IDMAP_NONE; key++) {
		const Memattach__Function *known = builder->functions[at - 1];
		if (known->name == function->name && known->filename == function->file &&
		    known->start_line == function->first_line &&
		    known->system_name == function->linkage)
			return at;
	}
	uint64_t id = add_function(builder, function);
	if (id)
		index_add(builder, &builder->function_of_key, key, id);
	return id;
}

static uint64_t find_function(struct ma_stack_builder *builder, const struct ma_code_name *code)
{
	const struct ma_built_function function = {
		.name = ma_strings_add(builder->strings, code->function),
		.file = ma_strings_add(builder->strings, code->file),
		.first_line = code->first_line > 0 ? code->first_line : 0,
	};
	return ma_stack_builder_function(builder, &function);
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

Memattach__Location *ma_stack_builder_location(struct ma_stack_builder *builder, uint64_t key,
					       size_t lines)
{
	if (!ma_stack_builder_room(builder, (void **)&builder->locations, builder->location_count,
				   &builder->location_room, sizeof *builder->locations))
		return NULL;
	Memattach__Location *location = ma_pool_alloc(builder->pool, 1, sizeof *location);
	Memattach__Line **line = ma_snapshot_messages(builder->pool, lines, sizeof **line);
	if (!location || !line)
		return NULL;
	for (size_t i = 0; i < lines; i++)
		*line[i] = (Memattach__Line)MEMATTACH__LINE__INIT;
	*location = (Memattach__Location)MEMATTACH__LOCATION__INIT;
	location->id = builder->location_count + 1;
	location->n_line = lines;
	location->line = line;
	builder->locations[builder->location_count++] = location;
	index_add(builder, &builder->location_of_frame, key, location->id);
	return location;
}

static uint64_t add_location(struct ma_stack_builder *builder, uint64_t key, uint64_t function_id,
			     int64_t line_number)
{
	Memattach__Location *location = ma_stack_builder_location(builder, key, 1);
	if (!location)
		return 0;
	location->mapping_id = INTERPRETER_MAPPING;
	location->line[0]->function_id = function_id;
	location->line[0]->line = line_number;
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
	if (MA_FRAME_IS_NATIVE(frame))
		return ma_stack_builder_native(builder, frame);
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

/* The stack of a site, as far as it is shown, in builder->frames. false: there is none. */
static bool read_stack(struct ma_stack_builder *builder, const struct ma_site *site,
		       struct ma_stack *stack)
{
	if (site->stack == 0 ||
	    ma_stack_copy(builder->tables, site->stack, stack, builder->frames) != 0)
		return false;
	ma_native_arrange(builder->native, stack, builder->frames, !builder->without_native);
	return true;
}

/* What of a stack's flags is seen in its frames. */
static uint32_t visible_flags(uint32_t flags)
{
	return flags & ~(uint32_t)(MA_STACK_NATIVE_CUT | MA_STACK_NATIVE_GUESSED);
}

uint32_t ma_stack_builder_shown(struct ma_stack_builder *builder, const struct ma_site *site)
{
	struct ma_stack stack;
	uint32_t known =
		site->stack ? ma_idmap_find(&builder->shown_of_id, site->stack) : MA_IDMAP_NONE;
	if (known != MA_IDMAP_NONE)
		return known;
	bool copied = read_stack(builder, site, &stack);
	uint64_t hash;
	if (copied && stack.frame_count) {
		hash = mix(visible_flags(stack.flags), stack.frame_count);
		for (uint32_t i = 0; i < stack.frame_count; i++)
			hash = mix(hash, builder->frames[i]);
	} else {
		hash = mix(0, site->stack && !copied ? MA_PSEUDO_STACK_UNKNOWN
						     : ma_pseudo_frame_instead(
							       copied ? stack.flags : site->flags));
	}
	uint32_t shown = ma_idmap_find(&builder->shown_of_hash, hash);
	if (shown == MA_IDMAP_NONE) {
		shown = builder->shown_of_hash.used;
		index_add(builder, &builder->shown_of_hash, hash, shown);
	}
	if (site->stack)
		index_add(builder, &builder->shown_of_id, site->stack, shown);
	return shown;
}

static void keep_stack(struct ma_stack_builder *builder, uint32_t shown,
		       struct ma_built_stack built)
{
	if (!ma_stack_builder_room(builder, (void **)&builder->stacks, builder->stack_count,
				   &builder->stack_room, sizeof *builder->stacks))
		return;
	builder->stacks[builder->stack_count] = built;
	index_add(builder, &builder->stack_of_shown, shown, builder->stack_count++);
}

struct ma_built_stack ma_stack_builder_site(struct ma_stack_builder *builder,
					    const struct ma_site *site, uint32_t *flags)
{
	struct ma_stack stack;
	*flags = site->flags;
	if (site->stack == 0)
		return ma_stack_builder_pseudo(builder, ma_pseudo_frame_instead(site->flags));
	uint32_t shown = ma_stack_builder_shown(builder, site);
	uint32_t known = ma_idmap_find(&builder->stack_of_shown, shown);
	bool copied = read_stack(builder, site, &stack);
	if (copied)
		*flags |= stack.flags;
	if (known != MA_IDMAP_NONE)
		return builder->stacks[known];
	if (!copied)
		return ma_stack_builder_pseudo(builder, MA_PSEUDO_STACK_UNKNOWN);
	if (stack.frame_count == 0)
		return ma_stack_builder_pseudo(builder, ma_pseudo_frame_instead(stack.flags));
	struct ma_built_stack built = build(builder, &stack);
	keep_stack(builder, shown, built);
	return built;
}
