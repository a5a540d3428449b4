/* SPDX-License-Identifier: MIT */
/*
 * What the parts of the snapshot builder share: snapshot_build.c chooses sites and makes samples,
 * snapshot_stacks.c makes locations and functions, snapshot_heap.c fills field 1000.
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
	const struct ma_tables *tables;
	struct ma_idmap location_of_frame;
	struct ma_idmap function_of_code;
	struct ma_idmap function_of_key; /* hash of name, file, line */
	struct ma_idmap stack_of_id;
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
			   struct ma_strings *strings, struct ma_names *names,
			   const struct ma_tables *tables);
void ma_stack_builder_fini(struct ma_stack_builder *builder);

/* The stack of a site; *flags: enum ma_stack_flag of it. Empty only when memory ran out. */
struct ma_built_stack ma_stack_builder_site(struct ma_stack_builder *builder,
					    const struct ma_site *site, uint32_t *flags);

/* A stack of one pseudo frame. */
struct ma_built_stack ma_stack_builder_pseudo(struct ma_stack_builder *builder,
					      enum ma_pseudo_frame pseudo);

/* What is known of each sample of the profile besides its values. */
struct ma_built_sample {
	uint32_t site; /* or MA_HEAP_UNKNOWN, MA_HEAP_OTHER */
	uint32_t flags;
	bool certain; /* of a domain that is not sampled */
	struct ma_site_view values;
	struct ma_site_view held; /* live_*: what is held */
};

/* Fills profile->heap. samples: one per Profile.sample, same order. */
void ma_snapshot_fill_heap(struct ma_snapshot *snapshot, struct ma_session *session,
			   const struct ma_snapshot_query *query,
			   const struct ma_session_held *held,
			   const struct ma_built_sample *samples, size_t count);

/* An array of `count` pointers to messages of message_bytes each, all in the pool and zeroed; NULL
 * when memory ran out. */
void *ma_snapshot_messages(struct ma_pool *pool, size_t count, size_t message_bytes);

#endif
