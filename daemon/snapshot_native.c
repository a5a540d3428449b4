/* SPDX-License-Identifier: MIT */
/* Native code in a profile: mappings with their build-ids, and locations; see snapshot_builder.h.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/snapshot_builder.h"
#include "daemon/text.h"
#include "proto/unwind.h"

enum { INTERPRETER_MAPPING = 1, NO_MAPPING = 0, TEXT_BYTES = 4200 };

static Memattach__Mapping *add_mapping(struct ma_stack_builder *builder, const char *path,
				       const char *build_id)
{
	char text[TEXT_BYTES];
	if (!ma_stack_builder_room(builder, (void **)&builder->mappings, builder->mapping_count,
				   &builder->mapping_room, sizeof *builder->mappings))
		return NULL;
	Memattach__Mapping *mapping = ma_pool_alloc(builder->pool, 1, sizeof *mapping);
	if (!mapping)
		return NULL;
	*mapping = (Memattach__Mapping)MEMATTACH__MAPPING__INIT;
	mapping->id = builder->mapping_count + 1;
	ma_text_from_bytes(text, sizeof text, path, strlen(path));
	mapping->filename = ma_strings_add(builder->strings, text);
	ma_text_from_bytes(text, sizeof text, build_id, strlen(build_id));
	mapping->build_id = ma_strings_add(builder->strings, text);
	/* Whatever names and lines are known are in here: readers need not look for more. */
	mapping->has_functions = true;
	mapping->has_filenames = true;
	mapping->has_line_numbers = true;
	builder->mappings[builder->mapping_count++] = mapping;
	return mapping;
}

void ma_stack_builder_interpreter(struct ma_stack_builder *builder,
				  const struct ma_session *session)
{
	const struct ma_area_ident *ident = &session->map.ident;
	Memattach__Mapping *mapping =
		add_mapping(builder, ident->python_path, ident->python_build_id);
	if (!mapping)
		return;
	mapping->memory_start = ident->python_base;
	mapping->memory_limit = ident->python_base;
}

/* A mapping grows to hold all of a module's code that is seen. */
static void widen(Memattach__Mapping *mapping, const struct ma_native_module *module)
{
	if (module->start < mapping->memory_start)
		mapping->memory_start = module->start;
	if (module->end > mapping->memory_limit)
		mapping->memory_limit = module->end;
}

static uint64_t mapping_of(struct ma_stack_builder *builder, uint32_t id,
			   const struct ma_native_module *module)
{
	if (!module)
		return NO_MAPPING;
	if (module->interpreter) {
		if (builder->mapping_count)
			widen(builder->mappings[0], module);
		return INTERPRETER_MAPPING;
	}
	uint32_t known = ma_idmap_find(&builder->mapping_of_module, id);
	if (known != MA_IDMAP_NONE)
		return known;
	char digits[2 * MA_BUILD_ID_BYTES + 1] = "";
	for (uint32_t i = 0; i < module->build_id_bytes && i < MA_BUILD_ID_BYTES; i++)
		snprintf(digits + 2 * i, 3, "%02x", module->build_id[i]);
	Memattach__Mapping *mapping = add_mapping(builder, module->path, digits);
	if (!mapping)
		return NO_MAPPING;
	mapping->memory_start = module->start;
	mapping->memory_limit = module->end;
	if (!ma_idmap_add(&builder->mapping_of_module, id, (uint32_t)mapping->id))
		builder->pool->failed = true;
	return mapping->id;
}

/* The function of a frame that no symbol covers: where it is. */
static uint64_t nameless(struct ma_stack_builder *builder, const struct ma_native_frame *frame)
{
	char text[TEXT_BYTES];
	ma_native_frame_text(frame, text, sizeof text);
	const struct ma_built_function function = {
		.name = ma_strings_add(builder->strings, text),
		.linkage = ma_strings_add(builder->strings, text),
	};
	return ma_stack_builder_function(builder, &function);
}

static uint64_t function_of(struct ma_stack_builder *builder, const struct ma_native_line *line)
{
	const struct ma_built_function function = {
		.name = ma_strings_add(builder->strings, line->function),
		.linkage = ma_strings_add(builder->strings, line->linkage),
		.file = ma_strings_add(builder->strings, line->file),
		.first_line = line->first_line,
	};
	return ma_stack_builder_function(builder, &function);
}

uint64_t ma_stack_builder_native(struct ma_stack_builder *builder, uint64_t frame)
{
	uint32_t known = ma_idmap_find(&builder->location_of_frame, frame);
	if (known != MA_IDMAP_NONE)
		return known;
	const struct ma_native_frame native = ma_native_frame(builder->native, frame);
	const struct ma_native_place *place = native.place;
	size_t count = 0;
	for (uint32_t i = 0; i < place->count; i++)
		count += ma_native_line_is_shown(&native, i) ? 1 : 0;
	Memattach__Location *location =
		ma_stack_builder_location(builder, frame, count ? count : 1);
	if (!location)
		return 0;
	location->mapping_id = mapping_of(builder, MA_FRAME_NATIVE_MODULE(frame), native.module);
	location->address = MA_FRAME_NATIVE_PC(frame);
	if (!count)
		location->line[0]->function_id = nameless(builder, &native);
	for (uint32_t i = 0, at = 0; i < place->count; i++) {
		if (!ma_native_line_is_shown(&native, i))
			continue;
		location->line[at]->function_id = function_of(builder, &place->line[i]);
		location->line[at++]->line = place->line[i].line;
	}
	if (location->mapping_id && count > 1)
		builder->mappings[location->mapping_id - 1]->has_inline_frames = true;
	return location->id;
}
