/* SPDX-License-Identifier: MIT */
/*
 * Open addressing over (parent, word). A node is complete before its number is put into the index,
 * by a compare-and-swap of a free slot. Who loses that to another thread looks on, and may make a
 * second node of the same: one more, not one wrong.
 */
#include "inject/hook/call_tree.h"

#include <stdbool.h>

enum { PROBES = 32 };

/* A new node; MA_CALL_NONE when all are taken. */
static uint32_t make(struct ma_call_tree *tree, uint32_t parent, uint64_t word)
{
	uint32_t id;

	if (__atomic_load_n(&tree->used, __ATOMIC_RELAXED) >= MA_CALL_NODES - 1)
		return MA_CALL_NONE;
	id = __atomic_add_fetch(&tree->used, 1, __ATOMIC_RELAXED);
	if (id >= MA_CALL_NODES)
		return MA_CALL_NONE;
	tree->nodes[id].word = word;
	tree->nodes[id].parent = parent;
	return id;
}

static bool is_child(const struct ma_call_tree *tree, uint32_t id, uint32_t parent, uint64_t word)
{
	const struct ma_call_node *node = &tree->nodes[id % MA_CALL_NODES];

	return id && node->parent == parent && node->word == word;
}

/* The child that the index names, or a new one. */
static uint32_t find_or_make(struct ma_call_tree *tree, uint32_t parent, uint64_t word)
{
	uint64_t hash =
		(word ^ parent * UINT64_C(0xD6E8FEB86659FD93)) * UINT64_C(0x9FB21C651E98DF25);
	uint64_t at = hash / (UINT64_MAX / MA_CALL_INDEX + 1);
	uint32_t made = MA_CALL_NONE;

	for (uint32_t probe = 0; probe < PROBES; probe++, at = (at + 1) % MA_CALL_INDEX) {
		uint32_t id = __atomic_load_n(&tree->index[at], __ATOMIC_ACQUIRE);

		if (is_child(tree, id, parent, word))
			return id;
		if (id)
			continue;
		if (!made)
			made = make(tree, parent, word);
		if (!made || __atomic_compare_exchange_n(&tree->index[at], &id, made, false,
							 __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return made;
	}
	return MA_CALL_NONE;
}

uint32_t ma_call_tree_child(struct ma_call_tree *tree, uint32_t parent, uint64_t word)
{
	struct ma_call_node *node = &tree->nodes[parent % MA_CALL_NODES];
	uint32_t first, found;

	if (parent == MA_CALL_NONE)
		return MA_CALL_NONE;
	if (parent == MA_CALL_ROOT)
		return find_or_make(tree, parent, word);
	first = __atomic_load_n(&node->child, __ATOMIC_ACQUIRE);
	if (is_child(tree, first, parent, word))
		return first;
	found = find_or_make(tree, parent, word);
	if (!first)
		__atomic_store_n(&node->child, found, __ATOMIC_RELEASE);
	return found;
}
