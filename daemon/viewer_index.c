/* SPDX-License-Identifier: MIT */
/* Sites to lines and to a tree; see viewer_index.h. */
#include "daemon/viewer_index.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"
#include "daemon/session.h"
#include "daemon/snapshot_builder.h"
#include "proto/area_check.h"
#include "proto/unwind.h"

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
			  int32_t number, const char *module)
{
	uint64_t key = hash_text(UINT64_C(0xcbf29ce484222325), function);
	key = hash_text((key ^ 0xff) * UINT64_C(0x100000001b3), file) ^
	      (uint64_t)(uint32_t)number * UINT64_C(0x9E3779B97F4A7C15);
	uint32_t at;
	for (; (at = ma_idmap_find(&index->line_of_text, key)) != MA_IDMAP_NONE; key++) {
		const struct ma_viewer_line *known = &index->lines[at];
		if (known->line == number && strcmp(known->function, function) == 0 &&
		    strcmp(known->file, file) == 0 && strcmp(known->module, module) == 0)
			return at;
	}
	if (index->line_count >= MA_VIEWER_LINES ||
	    !make_room((void **)&index->lines, index->line_count, &index->line_room,
		       sizeof *index->lines) ||
	    !ma_idmap_add(&index->line_of_text, key, index->line_count))
		return 0;
	index->lines[index->line_count] = (struct ma_viewer_line){function, file, number, module};
	return index->line_count++;
}

static uint32_t pseudo_line(struct ma_viewer_index *index, enum ma_pseudo_frame pseudo)
{
	return find_line(index, ma_pseudo_frame_name(pseudo), "", 0, "");
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
	line = find_line(index, function, code->file, ma_names_line(index->names, frame), "");
	if (index->line_of_frame.used < 4 * MA_VIEWER_LINES)
		ma_idmap_add(&index->line_of_frame, frame, line);
	return line;
}

/* The line of a frame without a name: where it is. */
static uint32_t nameless_line(struct ma_viewer_index *index, uint64_t frame,
			      const struct ma_native_frame *native, const char *module)
{
	uint32_t known = ma_idmap_find(&index->line_of_frame, frame);
	char text[4200];
	if (known != MA_IDMAP_NONE)
		return known;
	ma_native_frame_text(native, text, sizeof text);
	const char *kept = ma_pool_text(&index->texts, text);
	known = kept ? find_line(index, kept, "", 0, module) : 0;
	if (index->line_of_frame.used < 4 * MA_VIEWER_LINES)
		ma_idmap_add(&index->line_of_frame, frame, known);
	return known;
}

/* The lines of a native frame, innermost first. Returns how many. */
static uint32_t native_lines(struct ma_viewer_index *index, uint64_t frame,
			     uint32_t lines[MA_CODE_LINES])
{
	const struct ma_native_frame native = ma_native_frame(index->native, frame);
	const char *module = native.module ? native.module->path : "?";
	uint32_t count = 0;
	for (uint32_t i = 0; i < native.place->count && i < MA_CODE_LINES; i++) {
		const struct ma_native_line *line = &native.place->line[i];
		if (ma_native_line_is_shown(&native, i))
			lines[count++] =
				find_line(index, line->function, line->file, line->line, module);
	}
	if (count)
		return count;
	lines[0] = nameless_line(index, frame, &native, module);
	return 1;
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
			   uint32_t *flags, enum ma_pseudo_frame *instead, bool *settled)
{
	*settled = true;
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
		*settled =
			ma_native_arrange(index->native, &stack, index->frames, index->with_native);
		*instead = ma_pseudo_frame_instead(*flags);
		return stack.frame_count;
	}
	if (!site->stack)
		*instead = ma_pseudo_frame_instead(*flags);
	return 0;
}

/* The line that a stack is about, and what it called. */
static void find_owner(struct ma_viewer_index *index, uint32_t count, struct ma_viewer_slot *slot)
{
	uint32_t lines[MA_CODE_LINES], at = 0;
	while (at < count && MA_FRAME_IS_NATIVE(index->frames[at]))
		at++;
	if (at == count) {
		native_lines(index, index->frames[0], lines);
		slot->line = lines[0];
		return;
	}
	slot->line = frame_line(index, index->frames[at]);
	if (at > 0)
		slot->callee = lines[native_lines(index, index->frames[at - 1], lines) - 1];
}

/* false: no memory, or a name is still being looked up. */
static bool add_slot(struct ma_viewer_index *index)
{
	struct ma_site site;
	uint32_t flags;
	enum ma_pseudo_frame instead;
	bool settled;
	if (!make_room((void **)&index->slots, index->slot_count, &index->slot_room,
		       sizeof *index->slots))
		return false;
	uint32_t count = read_stack(index, index->slot_count, &site, &flags, &instead, &settled);
	if (!settled)
		return false;
	struct ma_viewer_slot slot = {
		.thread = site.thread < MA_THREAD_SLOTS ? site.thread : 0,
		.domain = site.domain < MA_HEAP_DOMAINS ? site.domain : 0,
	};
	if (count)
		find_owner(index, count, &slot);
	else
		slot.line = pseudo_line(index, instead);
	index->slots[index->slot_count++] = slot;
	return true;
}

/* The node behind `node` that a frame stands for; the node itself when there is no room. */
static uint32_t enter_frame(struct ma_viewer_index *index, uint32_t node, uint64_t frame)
{
	uint32_t lines[MA_CODE_LINES], count = 1;
	if (MA_FRAME_IS_NATIVE(frame))
		count = native_lines(index, frame, lines);
	else
		lines[0] = frame_line(index, frame);
	for (uint32_t i = count; i > 0; i--) {
		uint32_t child = find_child(index, node, lines[i - 1]);
		if (child == node)
			break;
		node = child;
	}
	return node;
}

static void add_to_tree(struct ma_viewer_index *index)
{
	struct ma_viewer_slot *slot = &index->slots[index->tree_count];
	struct ma_site site;
	uint32_t flags, node = 0;
	enum ma_pseudo_frame instead;
	bool settled;
	uint32_t count = read_stack(index, index->tree_count++, &site, &flags, &instead, &settled);
	if (count && flags & (MA_STACK_TRUNCATED | MA_STACK_BROKEN))
		node = find_child(index, node,
				  pseudo_line(index, flags & MA_STACK_TRUNCATED
							     ? MA_PSEUDO_TRUNCATED
							     : MA_PSEUDO_BROKEN));
	for (uint32_t i = count; i > 0; i--) {
		uint32_t child = enter_frame(index, node, index->frames[i - 1]);
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

bool ma_viewer_index_init(struct ma_viewer_index *index, struct ma_session *session,
			  bool with_native)
{
	*index = (struct ma_viewer_index){
		/* Never 0; the lowest bit tells the two of a viewer apart. */
		.id = (ma_clock_monotonic_ns() << 2 | 2) + (with_native ? 1 : 0),
		.names = &session->names,
		.tables = &session->map.area->tables,
		.native = &session->native,
		.with_native = with_native,
	};
	if (!make_room((void **)&index->nodes, 0, &index->node_room, sizeof *index->nodes))
		return false;
	index->nodes[index->node_count++] = (struct ma_viewer_node){0, 0};
	/* The first line is the one for which there was no room. */
	find_line(index, ma_pseudo_frame_name(MA_PSEUDO_OTHER), "", 0, "");
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
	ma_pool_fini(&index->texts);
	*index = (struct ma_viewer_index){0};
}
