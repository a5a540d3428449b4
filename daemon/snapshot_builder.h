/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the snapshot builder share: snapshot_build.c chooses sites and makes samples,
 * snapshot_stacks.c makes stacks of Python's locations and functions, snapshot_native.c those of
 * native code with their mappings, snapshot_heap.c fills field 1000.
 */
#ifndef MA_DAEMON_SNAPSHOT_BUILDER_H
#define MA_DAEMON_SNAPSHOT_BUILDER_H

#include "daemon/snapshot_build.h"
#include "daemon/strings.h"

/* Locations and functions of one profile, with the indexes that keep each of them once. */
struct ma_stack_builder {
	struct ma_pool *pool;
	struct ma_strings *strings;
	struct ma_names *names;
	struct ma_native *native;
	bool without_native; /* Python frames only */
	const struct ma_tables *tables;
	struct ma_idmap location_of_frame;
	struct ma_idmap function_of_code;
	struct ma_idmap function_of_key; /* hash of what a function is */
	struct ma_idmap shown_of_id;     /* of a stack: a number for what is shown of it */
	struct ma_idmap shown_of_hash;
	struct ma_idmap stack_of_shown;
	struct ma_idmap mapping_of_module;
	Memattach__Mapping **mappings; /* the first is the interpreter's */
	size_t mapping_count, mapping_room;
	Memattach__Location **locations;
	size_t location_count, location_room;
	Memattach__Function **functions;
	size_t function_count, function_room;
	struct ma_built_stack *stacks;
	size_t stack_count, stack_room;
	uint64_t frames[MA_MAX_FRAMES]; /* scratch */
};

/* Location ids of a stack, innermost first. */
struct ma_built_stack {
	uint64_t *ids;
	size_t count;
};

/* Frames that stand for something else than Python code. */
enum ma_pseudo_frame {
	MA_PSEUDO_UNKNOWN_FUNCTION,
	MA_PSEUDO_NATIVE_THREAD,
	MA_PSEUDO_STACK_UNKNOWN,
	MA_PSEUDO_FINALIZING,
	MA_PSEUDO_FOREIGN,
	MA_PSEUDO_OTHER,
	MA_PSEUDO_TRUNCATED,
	MA_PSEUDO_BROKEN,
};

/* How it is called: a literal. */
const char *ma_pseudo_frame_name(enum ma_pseudo_frame pseudo);

/* What stands for a stack that is not there. flags: enum ma_stack_flag of it. */
enum ma_pseudo_frame ma_pseudo_frame_instead(uint32_t flags);

void ma_stack_builder_init(struct ma_stack_builder *builder, struct ma_pool *pool,
			   struct ma_strings *strings, struct ma_session *session,
			   bool without_native);
void ma_stack_builder_fini(struct ma_stack_builder *builder);

/* A number for what is shown of a site's stack: sites that look the same have the same. */
uint32_t ma_stack_builder_shown(struct ma_stack_builder *builder, const struct ma_site *site);

/* The stack of a site; *flags: enum ma_stack_flag of it. Empty only when memory ran out. */
struct ma_built_stack ma_stack_builder_site(struct ma_stack_builder *builder,
					    const struct ma_site *site, uint32_t *flags);

/* A stack of one pseudo frame. */
struct ma_built_stack ma_stack_builder_pseudo(struct ma_stack_builder *builder,
					      enum ma_pseudo_frame pseudo);

/* A function as a profile knows it; strings are positions in its table. */
struct ma_built_function {
	int64_t name, linkage, file, first_line; /* linkage 0: Python */
};

/* snapshot_stacks.c: the id of a function, made if it is new; 0 when memory ran out. */
uint64_t ma_stack_builder_function(struct ma_stack_builder *builder,
				   const struct ma_built_function *function);

/* The same: a new location of that key with room for lines; NULL when memory ran out. */
Memattach__Location *ma_stack_builder_location(struct ma_stack_builder *builder, uint64_t key,
					       size_t lines);

/* The same: one more element for an array of pointers in the pool; false when memory ran out. */
bool ma_stack_builder_room(struct ma_stack_builder *builder, void **array, size_t count,
			   size_t *room, size_t item_bytes);

/* snapshot_native.c: makes the interpreter's mapping, which is the first. */
void ma_stack_builder_interpreter(struct ma_stack_builder *builder,
				  const struct ma_session *session);

/* snapshot_native.c: the location of a native frame; 0 when memory ran out. */
uint64_t ma_stack_builder_native(struct ma_stack_builder *builder, uint64_t frame);

/* What is known of each sample of the profile besides its values. */
struct ma_built_sample {
	uint32_t site; /* or MA_HEAP_UNKNOWN, MA_HEAP_OTHER; the largest where several look alike */
	uint32_t flags;
	bool certain; /* of a domain that is not sampled */
	struct ma_site_view values;
	struct ma_site_view held; /* live_*: what is held */
};

/* The samples of a profile. */
struct ma_built_samples {
	const struct ma_built_sample *samples; /* one per Profile.sample, same order */
	size_t count;
	const struct ma_idmap *of_site; /* site id -> index of its sample */
};

/* Fills profile->heap. samples NULL: none. */
void ma_snapshot_fill_heap(struct ma_snapshot *snapshot, struct ma_session *session,
			   const struct ma_snapshot_query *query,
			   const struct ma_session_held *held,
			   const struct ma_built_samples *samples);

/* An array of `count` pointers to messages of message_bytes each, all in the pool and zeroed; NULL
 * when memory ran out. */
void *ma_snapshot_messages(struct ma_pool *pool, size_t count, size_t message_bytes);

#endif
