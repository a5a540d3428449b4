/* SPDX-License-Identifier: MIT */
/*
 * Open addressing over (parent, word). A free node is claimed by a compare-and-swap of its parent,
 * and published by the store of the real one; a thread that dies in between costs that node. Two
 * threads that add the same at once may make two nodes of it, which is one more, not one wrong.
 */
#include "inject/hook/call_tree.h"

#include <stdbool.h>

enum { PROBES = 32, CLAIMED = MA_CALL_ROOT + 1 };

uint32_t ma_call_tree_child(struct ma_call_tree *tree, uint32_t parent, uint64_t word)
{
	uint64_t hash =
		(word ^ parent * UINT64_C(0xD6E8FEB86659FD93)) * UINT64_C(0x9FB21C651E98DF25);
	uint64_t at = hash / (UINT64_MAX / MA_CALL_NODES + 1);

	if (parent == MA_CALL_NONE)
		return MA_CALL_NONE;
	for (uint32_t probe = 0; probe < PROBES; probe++, at = (at + 1) % MA_CALL_NODES) {
		struct ma_call_node *node = &tree->nodes[at];
		uint32_t have = __atomic_load_n(&node->parent, __ATOMIC_ACQUIRE);

		if (have == parent && node->word == word)
			return (uint32_t)at;
		if (have || at == MA_CALL_NONE)
			continue;
		if (!__atomic_compare_exchange_n(&node->parent, &have, CLAIMED, false,
						 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			continue;
		node->word = word;
		__atomic_store_n(&node->parent, parent, __ATOMIC_RELEASE);
		return (uint32_t)at;
	}
	return MA_CALL_NONE;
}
