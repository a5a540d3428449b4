/* SPDX-License-Identifier: MIT */
/*
 * The calling tree, for exact mode: each different stack is a node, whose parent is the same stack
 * without its innermost frame. A thread that has its stack as nodes (path.h) needs one look-up for
 * a call that was seen before, however deep it is. Nodes are named by what they hold, frame words
 * of interned code objects, so they stay true for ever; none is taken out.
 *
 * Look-ups and additions take no lock. Any thread of the target, in a hook.
 */
#ifndef MA_HOOK_CALL_TREE_H
#define MA_HOOK_CALL_TREE_H

#include <stdint.h>

#include "proto/area.h"

enum {
	MA_CALL_NODES = 1 << 17,
	MA_CALL_INDEX = 1 << 18,
	MA_CALL_DOMAINS = MA_DOMAIN_MALLOC, /* object, mem, malloc; a region is walked for */
	MA_CALL_NONE = 0,                   /* no node: the tree is full */
	MA_CALL_ROOT = MA_CALL_NODES,       /* the stack without frames */
};

struct ma_call_node {
	uint64_t word;   /* MA_FRAME of the innermost frame */
	uint32_t parent; /* node, or MA_CALL_ROOT */
	uint32_t stack;  /* id in the stack log; 0 = nothing was allocated here yet */
	uint32_t site[MA_CALL_DOMAINS]; /* of the thread that asked last, by domain from 1; or 0 */
	uint32_t child; /* the first one made of it, which mostly lies next to it; 0 = none */
};

_Static_assert(sizeof(struct ma_call_node) == 32, "two nodes a cache line");

/* Zeroed memory is an empty tree. */
struct ma_call_tree {
	uint32_t used; /* nodes taken, one after the other: what is called together lies together */
	uint32_t reserved[15];
	uint32_t index[MA_CALL_INDEX];            /* hash of parent and word -> node; 0 = free */
	struct ma_call_node nodes[MA_CALL_NODES]; /* 0 is none */
};

/* The node of `parent` and one frame more, made if it is new. Of no node comes none. */
uint32_t ma_call_tree_child(struct ma_call_tree *tree, uint32_t parent, uint64_t word);

#endif
