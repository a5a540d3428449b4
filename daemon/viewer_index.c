/* SPDX-License-Identifier: MIT */
/* Sites to lines and to a tree; see viewer_index.h. */
#include "daemon/viewer_index.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"
#include "daemon/snapshot_builder.h"
#include "proto/area_check.h"

enum { SLOTS_BETWEEN_LOOKS = 32 }; /* at the clock */

/* Makes room for one more element. */
static bool make_room(void **array, uint32_t count, uint32_t *room, size_t element_bytes)
{
	if (count < *room)
		return true;
	uint32_t larger = *room ? *room * 2 : 1024;
	void *memory = realloc(*array, larger * element_bytes);
	if (!memory)
		return false;
	*array = memory;
	*room = larger;
	return true;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
	/* FNV-1a. */
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
	return hash;
}

/* The line of a function, a file and a number; the same for equal texts. 0 when there is no room.
 */
static uint32_t find_line(struct ma_viewer_index *index, const char *function, const char *file,
			  int32_t number)
{
	uint64_t key = hash_text(UINT64_C(0xcbf29ce484222325), function);
	key = hash_text((key ^ 0xff) * UINT64_C(0x100000001b3), file) ^
	      (uint64_t)(uint32_t)number * UINT64_C(0x9E3779B97F4A7C15);
	uint32_t at;
	for (; (at = ma_idmap_find(&index->line_of_text, key)) != MA_IDMAP_NONE; key++) {
		const struct ma_viewer_line *known = &index->lines[at];
		if (known->line == number && strcmp(known->function, function) == 0 &&
		    strcmp(known->file, file) == 0)
			return at;
	}
	if (index->line_count >= MA_VIEWER_LINES ||
	    !make_room((void **)&index->lines, index->line_count, &index->line_room,
		       sizeof *index->lines) ||
	    !ma_idmap_add(&index->line_of_text, key, index->line_count))
		return 0;
	index->lines[index->line_count] = (struct ma_viewer_line){function, file, number};
	return index->line_count++;
}

static uint32_t pseudo_line(struct ma_viewer_index *index, enum ma_pseudo_frame pseudo)
{
	return find_line(index, ma_pseudo_frame_name(pseudo), "", 0);
}

static uint32_t frame_line(struct ma_viewer_index *index, uint64_t frame)
{
	uint32_t known = ma_idmap_find(&index->line_of_frame, frame);
	if (known != MA_IDMAP_NONE)
		return known;
	const struct ma_code_name *code =
		MA_FRAME_CODE(frame) ? ma_names_code(index->names, MA_FRAME_CODE(frame)) : NULL;
	uint32_t line;
	if (!code)
		return pseudo_line(index, MA_PSEUDO_UNKNOWN_FUNCTION);
	const char *function = code->function[0] ? code->function
						 : ma_pseudo_frame_name(MA_PSEUDO_UNKNOWN_FUNCTION);
	line = find_line(index, function, code->file, ma_names_line(index->names, frame));
	if (index->line_of_frame.used < 4 * MA_VIEWER_LINES)
		ma_idmap_add(&index->line_of_frame, frame, line);
	return line;
}

/* The child of a node that is about `line`; the node itself when there is no room for one. */
static uint32_t find_child(struct ma_viewer_index *index, uint32_t parent, uint32_t line)
{
	uint64_t key = (uint64_t)parent << 32 | line;
	uint32_t at = ma_idmap_find(&index->node_of_key, key);
	if (at != MA_IDMAP_NONE)
		return at;
	if (index->node_count >= MA_VIEWER_NODES ||
	    !make_room((void **)&index->nodes, index->node_count, &index->node_room,
		       sizeof *index->nodes) ||
	    !ma_idmap_add(&index->node_of_key, key, index->node_count))
		return parent;
	index->nodes[index->node_count] = (struct ma_viewer_node){parent, line};
	return index->node_count++;
}

uint32_t ma_viewer_index_id(uint32_t slot)
{
	if (slot < MA_HEAP_DOMAINS)
		return MA_HEAP_UNKNOWN(slot);
	if (slot < MA_VIEWER_FIRST_SITE)
		return MA_HEAP_OTHER(slot - MA_HEAP_DOMAINS);
	return slot - MA_VIEWER_FIRST_SITE;
}

uint32_t ma_viewer_index_slots(const struct ma_heap_view *view)
{
	/* The view counts its sites, id 0 among them, and as many others as we have in front. */
	return ma_heap_view_count(view);
}

/* The stack of a slot, in index->frames. What stands for it when there is none: in *instead. */
static uint32_t read_stack(struct ma_viewer_index *index, uint32_t slot, struct ma_site *site,
			   uint32_t *flags, enum ma_pseudo_frame *instead)
{
	struct ma_stack stack;
	*site = (struct ma_site){0};
	*flags = 0;
	*instead = slot >= MA_HEAP_DOMAINS && slot < MA_VIEWER_FIRST_SITE ? MA_PSEUDO_OTHER
									  : MA_PSEUDO_STACK_UNKNOWN;
	if (slot < MA_VIEWER_FIRST_SITE) {
		site->domain = (uint8_t)(slot % MA_HEAP_DOMAINS);
		return 0;
	}
	if (ma_site_copy(index->tables, ma_viewer_index_id(slot), site) != 0)
		return 0;
	*flags = site->flags;
	if (site->stack && ma_stack_copy(index->tables, site->stack, &stack, index->frames) == 0) {
		*flags |= stack.flags;
		ma_stack_keep_python(&stack, index->frames);
		*instead = ma_pseudo_frame_instead(*flags);
		return stack.frame_count;
	}
	if (!site->stack)
		*instead = ma_pseudo_frame_instead(*flags);
	return 0;
}

static bool add_slot(struct ma_viewer_index *index)
{
	struct ma_site site;
	uint32_t flags;
	enum ma_pseudo_frame instead;
	if (!make_room((void **)&index->slots, index->slot_count, &index->slot_room,
		       sizeof *index->slots))
		return false;
	uint32_t count = read_stack(index, index->slot_count, &site, &flags, &instead);
	index->slots[index->slot_count++] = (struct ma_viewer_slot){
		.line = count ? frame_line(index, index->frames[0]) : pseudo_line(index, instead),
		.thread = site.thread < MA_THREAD_SLOTS ? site.thread : 0,
		.domain = site.domain < MA_HEAP_DOMAINS ? site.domain : 0,
	};
	return true;
}

static void add_to_tree(struct ma_viewer_index *index)
{
	struct ma_viewer_slot *slot = &index->slots[index->tree_count];
	struct ma_site site;
	uint32_t flags, node = 0;
	enum ma_pseudo_frame instead;
	uint32_t count = read_stack(index, index->tree_count++, &site, &flags, &instead);
	if (count && flags & (MA_STACK_TRUNCATED | MA_STACK_BROKEN))
		node = find_child(index, node,
				  pseudo_line(index, flags & MA_STACK_TRUNCATED
							     ? MA_PSEUDO_TRUNCATED
							     : MA_PSEUDO_BROKEN));
	for (uint32_t i = count; i > 0; i--) {
		uint32_t child = find_child(index, node, frame_line(index, index->frames[i - 1]));
		if (child == node) {
			index->tree_cut++;
			break;
		}
		node = child;
	}
	slot->node = count ? node : find_child(index, 0, slot->line);
}

double ma_viewer_index_advance(struct ma_viewer_index *index, const struct ma_heap_view *view,
			       bool tree, uint64_t deadline_ns)
{
	uint32_t total = ma_viewer_index_slots(view), looks = 0;
	while (index->slot_count < total || (tree && index->tree_count < index->slot_count)) {
		if (index->slot_count < total) {
			if (!add_slot(index))
				break;
		} else {
			add_to_tree(index);
		}
		if (++looks % SLOTS_BETWEEN_LOOKS == 0 && ma_clock_worked_ns() > deadline_ns)
			break;
	}
	uint32_t done = tree ? index->tree_count : index->slot_count;
	return total ? (double)done / total : 1;
}

bool ma_viewer_index_init(struct ma_viewer_index *index, struct ma_names *names,
			  const struct ma_tables *tables)
{
	*index = (struct ma_viewer_index){
		.id = ma_clock_monotonic_ns() | 1, .names = names, .tables = tables};
	if (!make_room((void **)&index->nodes, 0, &index->node_room, sizeof *index->nodes))
		return false;
	index->nodes[index->node_count++] = (struct ma_viewer_node){0, 0};
	/* The first line is the one for which there was no room. */
	find_line(index, ma_pseudo_frame_name(MA_PSEUDO_OTHER), "", 0);
	return index->line_count == 1;
}

void ma_viewer_index_fini(struct ma_viewer_index *index)
{
	free(index->lines);
	free(index->slots);
	free(index->nodes);
	ma_idmap_fini(&index->line_of_text);
	ma_idmap_fini(&index->line_of_frame);
	ma_idmap_fini(&index->node_of_key);
	*index = (struct ma_viewer_index){0};
}
