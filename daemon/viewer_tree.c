/* SPDX-License-Identifier: MIT */
/*
 * The call tree with what each node and everything below it is worth, as the rows that are open and
 * as the layout of a flame graph. Parents stand before their children in the index, so one pass
 * backwards adds everything up.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/viewer_answer.h"

/* A branch is opened unasked while it is this part of the whole. */
#define HEAVY_SHARE 0.5

/* The tree of one answer. Arrays are by node and owned. */
struct tree {
	struct ma_viewer_answer *answer;
	const struct ma_viewer_node *nodes; /* borrowed */
	uint32_t count;
	struct ma_viewer_sum *sums;
	uint32_t *first_child; /* 0 = none */
	uint32_t *next_child;
	uint8_t *marks; /* bits below */
};

enum { MARK_MATCHES = 1, MARK_OPEN = 2, MARK_PATH = 4 /* to the node whose rank is wanted */ };

static void tree_fini(struct tree *tree)
{
	free(tree->sums);
	free(tree->first_child);
	free(tree->next_child);
	free(tree->marks);
}

static void link_children(struct tree *tree)
{
	/* Backwards, so that the children of a node stand in the order in which they came. */
	for (uint32_t node = tree->count - 1; node > 0; node--) {
		uint32_t parent = tree->nodes[node].parent;
		tree->next_child[node] = tree->first_child[parent];
		tree->first_child[parent] = node;
	}
}

static void add_up(struct tree *tree)
{
	struct ma_viewer_answer *answer = tree->answer;
	const struct ma_viewer_slot *slots = answer->index->slots;
	uint32_t count = ma_viewer_slot_count(answer);
	if (count > answer->index->tree_count)
		count = answer->index->tree_count;
	for (uint32_t node = 1; node < tree->count; node++) {
		const struct ma_viewer_node *at = &tree->nodes[node];
		bool matches = tree->marks[at->parent] & MARK_MATCHES ||
			       ma_viewer_line_matches(answer, at->line);
		tree->marks[node] = matches ? MARK_MATCHES : 0;
	}
	for (uint32_t slot = 0; slot < count; slot++) {
		uint32_t node = slots[slot].node;
		if (tree->marks[node] & MARK_MATCHES && ma_viewer_slot_wanted(answer, slot))
			ma_viewer_sum_add(&tree->sums[node], answer, slot);
	}
	for (uint32_t node = tree->count - 1; node > 0; node--) {
		const struct ma_viewer_sum *from = &tree->sums[node];
		struct ma_viewer_sum *to = &tree->sums[tree->nodes[node].parent];
		to->live_bytes += from->live_bytes;
		to->live_variance += from->live_variance;
		to->live_third += from->live_third;
		to->live_shared += from->live_shared;
		to->delta_bytes += from->delta_bytes;
		to->held_bytes += from->held_bytes;
		to->peak_bytes += from->peak_bytes;
		to->rate += from->rate;
		to->live_count += from->live_count;
		to->sites += from->sites;
	}
}

static bool tree_init(struct tree *tree, struct ma_viewer_answer *answer)
{
	uint32_t count = answer->index->node_count;
	*tree = (struct tree){
		.answer = answer,
		.nodes = answer->index->nodes,
		.count = count,
		.sums = calloc(count, sizeof *tree->sums),
		.first_child = calloc(count, sizeof *tree->first_child),
		.next_child = calloc(count, sizeof *tree->next_child),
		.marks = calloc(count, 1),
	};
	if (!tree->sums || !tree->first_child || !tree->next_child || !tree->marks)
		return false;
	link_children(tree);
	add_up(tree);
	answer->view->tree_cut = answer->index->tree_cut;
	answer->view->sum = ma_viewer_row(answer, &tree->sums[0], NULL);
	return answer->view->sum != NULL;
}

/* What nodes are compared by where names are no measure. */
static double weight_of(const struct tree *tree, uint32_t node)
{
	Memattach__LiveQuery__Column column = tree->answer->query->sort;
	if (column >= MEMATTACH__LIVE_QUERY__COLUMN__FUNCTION)
		column = MEMATTACH__LIVE_QUERY__COLUMN__LIVE;
	double weight = ma_viewer_sum_column(&tree->sums[node], column);
	return weight > 0 ? weight : 0;
}

static const struct ma_viewer_line *line_of(const struct tree *tree, uint32_t node)
{
	return &tree->answer->index->lines[tree->nodes[node].line];
}

static Memattach__LiveRow *make_row(struct tree *tree, uint32_t node, uint32_t depth)
{
	Memattach__LiveRow *row =
		ma_viewer_row(tree->answer, &tree->sums[node], line_of(tree, node));
	if (!row)
		return NULL;
	row->key = node;
	row->line_key = tree->nodes[node].line + UINT64_C(1);
	row->depth = depth;
	return row;
}

/* Marks what is open. */
static void mark_open(struct tree *tree)
{
	const Memattach__LiveQuery *query = tree->answer->query;
	tree->marks[0] |= MARK_OPEN;
	for (size_t i = 0; i < query->n_open; i++)
		if (query->open[i] < tree->count)
			tree->marks[query->open[i]] |= MARK_OPEN;
	if (query->selected < tree->count)
		for (uint32_t node = (uint32_t)query->selected; node;
		     node = tree->nodes[node].parent)
			tree->marks[node] |= MARK_PATH;
	if (!query->open_heaviest)
		return;
	double whole = weight_of(tree, 0);
	for (uint32_t node = 0; node != UINT32_MAX;) {
		uint32_t heaviest = UINT32_MAX;
		for (uint32_t at = tree->first_child[node]; at; at = tree->next_child[at])
			if (heaviest == UINT32_MAX ||
			    weight_of(tree, at) > weight_of(tree, heaviest))
				heaviest = at;
		if (heaviest != UINT32_MAX && weight_of(tree, heaviest) < HEAVY_SHARE * whole)
			heaviest = UINT32_MAX;
		if (heaviest != UINT32_MAX && whole > 0)
			tree->marks[heaviest] |= MARK_OPEN;
		node = whole > 0 ? heaviest : UINT32_MAX;
	}
}

/* A node that waits to be shown. */
struct waiting {
	uint32_t node;
	uint32_t depth;
};

/*
 * Puts the children of a node on the stack, the first on top. In order are as many as the page
 * still has rows for, and all up to the one that leads to the node whose rank is wanted: of a
 * hundred thousand children hardly any is seen, and putting them all in order is what would cost.
 */
static uint32_t push_children(struct tree *tree, const struct waiting *parent, uint32_t rows_wanted,
			      struct waiting *stack, uint32_t used,
			      struct ma_viewer_entry_rank *entries)
{
	const struct ma_viewer_answer *answer = tree->answer;
	uint32_t count = 0, ordered = rows_wanted;
	struct ma_viewer_entry_rank path = {.item = 0};
	for (uint32_t at = tree->first_child[parent->node]; at; at = tree->next_child[at]) {
		if (!tree->sums[at].sites)
			continue;
		double value = ma_viewer_sum_column(&tree->sums[at], answer->query->sort);
		entries[count] = (struct ma_viewer_entry_rank){value, at, tree->nodes[at].line};
		if (tree->marks[at] & MARK_PATH)
			path = entries[count];
		count++;
	}
	uint32_t before = 0;
	for (uint32_t i = 0; path.item && i < count; i++)
		before += ma_viewer_before(answer, &entries[i], &path);
	if (path.item && before + 1 > ordered)
		ordered = before + 1;
	ma_viewer_order(answer, entries, count, 0, ordered);
	for (uint32_t i = count; i > 0; i--)
		stack[used++] = (struct waiting){entries[i - 1].item, parent->depth + 1};
	return used;
}

static bool has_children(const struct tree *tree, uint32_t node)
{
	for (uint32_t at = tree->first_child[node]; at; at = tree->next_child[at])
		if (tree->sums[at].sites)
			return true;
	return false;
}

/* Walks all rows that are open and makes those of the page. */
static bool walk(struct tree *tree, struct waiting *stack, struct ma_viewer_entry_rank *entries)
{
	struct ma_viewer_answer *answer = tree->answer;
	const Memattach__LiveQuery *query = answer->query;
	uint32_t limit = query->limit < MA_VIEWER_LIMIT ? query->limit : MA_VIEWER_LIMIT;
	Memattach__LiveRow **rows = ma_pool_alloc(answer->pool, limit + 1U, sizeof *rows);
	if (!rows)
		return false;
	answer->view->row = rows;
	uint64_t end = (uint64_t)query->offset + limit;
	/* The root is no row: its children are at depth 0. */
	const struct waiting root = {0, UINT32_MAX};
	uint32_t used = push_children(tree, &root, (uint32_t)end, stack, 0, entries), number = 0;
	for (; used; number++) {
		struct waiting at = stack[--used];
		bool open = tree->marks[at.node] & MARK_OPEN;
		if (at.node == query->selected)
			answer->view->selected_rank = number + 1;
		if (number >= query->offset && answer->view->n_row < limit) {
			Memattach__LiveRow *row = make_row(tree, at.node, at.depth);
			if (!row)
				return false;
			row->has_children = has_children(tree, at.node);
			row->open = open && row->has_children;
			rows[answer->view->n_row++] = row;
		}
		if (open)
			used = push_children(tree, &at, end > number ? (uint32_t)(end - number) : 0,
					     stack, used, entries);
	}
	answer->view->row_count = number;
	return true;
}

bool ma_viewer_fill_tree(struct ma_viewer_answer *answer)
{
	struct tree tree;
	bool filled = false;
	struct waiting *stack = NULL;
	struct ma_viewer_entry_rank *entries = NULL;
	if (tree_init(&tree, answer)) {
		mark_open(&tree);
		/* Every node waits at most once. */
		stack = malloc(tree.count * sizeof *stack);
		entries = malloc(tree.count * sizeof *entries);
		filled = stack && entries && walk(&tree, stack, entries);
	}
	free(stack);
	free(entries);
	tree_fini(&tree);
	return filled;
}

/* A cell that waits to be laid out. */
struct cell {
	uint32_t node;
	uint32_t depth;
	double start;
	double width;
};

/* The outermost calls that lead to the root. */
static bool fill_ancestors(struct tree *tree, uint32_t root)
{
	struct ma_viewer_answer *answer = tree->answer;
	uint32_t count = 0;
	for (uint32_t node = root; node; node = tree->nodes[node].parent)
		count++;
	Memattach__LiveRow **rows = ma_pool_alloc(answer->pool, count + 1U, sizeof *rows);
	if (!rows)
		return false;
	answer->view->ancestor = rows;
	for (uint32_t node = root, at = count; node; node = tree->nodes[node].parent) {
		rows[--at] = make_row(tree, node, 0);
		if (!rows[at])
			return false;
	}
	answer->view->n_ancestor = count;
	return true;
}

/* Puts the children of a cell that are wide enough on the stack, the first on top. */
static uint32_t push_cells(const struct tree *tree, const struct cell *parent, double whole,
			   double least, struct cell *stack, uint32_t used)
{
	double start = parent->start, end = parent->start + parent->width;
	uint32_t first = used;
	for (uint32_t at = tree->first_child[parent->node]; at; at = tree->next_child[at]) {
		double width = weight_of(tree, at) / whole;
		/* What grew in one child and shrank in another adds up to less than the first. */
		if (width > end - start)
			width = end - start;
		if (width >= least && used < MA_VIEWER_COLUMNS)
			stack[used++] = (struct cell){at, parent->depth + 1, start, width};
		start += width > 0 ? width : 0;
	}
	for (uint32_t last = used; first + 1 < last; first++) {
		struct cell kept = stack[--last];
		stack[last] = stack[first];
		stack[first] = kept;
	}
	return used;
}

/*
 * Every cell is at least one column wide, and cells that wait do not overlap: the stack holds no
 * more of them than there are columns, and a level has no more.
 */
static bool lay_out(struct tree *tree, uint32_t root, struct cell stack[MA_VIEWER_COLUMNS])
{
	struct ma_viewer_answer *answer = tree->answer;
	const Memattach__LiveQuery *query = answer->query;
	double whole = weight_of(tree, root);
	uint32_t columns = query->columns && query->columns < MA_VIEWER_COLUMNS ? query->columns
										: MA_VIEWER_COLUMNS;
	uint32_t levels = query->limit < MA_VIEWER_LEVELS ? query->limit : MA_VIEWER_LEVELS;
	size_t room = (size_t)levels * columns + 1;
	if (room > tree->count)
		room = tree->count;
	Memattach__LiveRow **rows = ma_pool_alloc(answer->pool, room, sizeof *rows);
	if (!rows)
		return false;
	answer->view->row = rows;
	uint32_t used = 0;
	if (whole > 0)
		stack[used++] = (struct cell){root, 0, 0, 1};
	while (used) {
		struct cell at = stack[--used];
		if (at.depth >= answer->view->row_count)
			answer->view->row_count = at.depth + 1;
		if (at.depth >= query->offset && at.depth - query->offset < levels &&
		    answer->view->n_row < room) {
			Memattach__LiveRow *row = make_row(tree, at.node, at.depth);
			if (!row)
				return false;
			row->start = at.start;
			row->width = at.width;
			row->has_children = has_children(tree, at.node);
			rows[answer->view->n_row++] = row;
		}
		used = push_cells(tree, &at, whole, 1.0 / columns, stack, used);
	}
	return true;
}

bool ma_viewer_fill_flame(struct ma_viewer_answer *answer)
{
	struct tree tree;
	uint32_t root =
		answer->query->root < answer->index->node_count ? (uint32_t)answer->query->root : 0;
	struct cell *stack = malloc(MA_VIEWER_COLUMNS * sizeof *stack);
	bool filled = stack != NULL;
	if (filled) {
		filled = tree_init(&tree, answer) && fill_ancestors(&tree, root) &&
			 lay_out(&tree, root, stack);
		tree_fini(&tree);
	}
	free(stack);
	return filled;
}
