/* SPDX-License-Identifier: MIT */
/*
 * What every site of a session is about: the line that allocated, the thread, and its place in the
 * call tree. Sites never change what they are about, so this is found out once for each and grows
 * as sites come; a frame of the live view then only adds numbers up. It exists while somebody
 * looks.
 */
#ifndef MA_DAEMON_VIEWER_INDEX_H
#define MA_DAEMON_VIEWER_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/heap_state.h"
#include "daemon/heap_view.h"
#include "daemon/idmap.h"
#include "daemon/names.h"
#include "daemon/native.h"
#include "daemon/pool.h"

enum {
	MA_VIEWER_LINES = 1 << 18, /* lines told apart; the rest is one line, "(other)" */
	MA_VIEWER_NODES =
		1 << 19, /* of the call tree; beyond, stacks end at the last node there is */
	/* Slots: the heap view's ids that are no sites first, so that sites can grow behind them.
	 */
	MA_VIEWER_FIRST_SITE = 2 * MA_HEAP_DOMAINS,
};

struct ma_session;

/* A line of the program, or what stands for one. Strings are the names' (daemon/names.h) or
 * literals, and live as long as the session. */
struct ma_viewer_line {
	const char *function;
	const char *file;
	int32_t line;
	const char *module; /* of native code: path of its object; "" for Python */
};

struct ma_viewer_slot {
	uint32_t line;   /* index of a line: the innermost of Python, where there is any */
	uint32_t callee; /* of the native function that this one called; 0: none */
	uint32_t node;   /* of the innermost frame; 0: not in the tree yet */
	uint8_t thread;
	uint8_t domain;
};

/* A node of the call tree; parents have lower indexes than their children. Node 0 is the root. */
struct ma_viewer_node {
	uint32_t parent;
	uint32_t line;
};

/* Zero-initialise, then ma_viewer_index_init. */
struct ma_viewer_index {
	uint64_t id; /* tells this index from every other */
	struct ma_names *names;
	const struct ma_tables *tables;
	struct ma_native *native;
	bool with_native;             /* frames too; else Python's alone */
	struct ma_pool texts;         /* of functions without a name */
	struct ma_viewer_line *lines; /* line 0 is "(other)" */
	uint32_t line_count, line_room;
	struct ma_idmap line_of_text; /* hash of function, file, line; equal hashes stand behind */
	struct ma_idmap line_of_frame;
	struct ma_viewer_slot *slots;
	uint32_t slot_count, slot_room;
	struct ma_viewer_node *nodes;
	uint32_t node_count, node_room;
	struct ma_idmap node_of_key;    /* parent and line */
	uint32_t tree_count;            /* slots that are in the tree */
	uint64_t tree_cut;              /* of those, how many are not complete */
	uint64_t frames[MA_MAX_FRAMES]; /* scratch */
};

/* Of a session (borrowed), with native frames or without. false: no memory. Daemon loop, as
 * everything here. */
bool ma_viewer_index_init(struct ma_viewer_index *index, struct ma_session *session,
			  bool with_native);
void ma_viewer_index_fini(struct ma_viewer_index *index);

/* Takes in sites that have come since, until ma_clock_worked_ns passes deadline_ns.
 * tree: into the call tree too. Returns the share that is in, 1 when all are; a site whose native
 * names are being looked up is waited for. */
double ma_viewer_index_advance(struct ma_viewer_index *index, const struct ma_heap_view *view,
			       bool tree, uint64_t deadline_ns);

/* The heap view's id of a slot, and the number of slots that a heap view has. */
uint32_t ma_viewer_index_id(uint32_t slot);
uint32_t ma_viewer_index_slots(const struct ma_heap_view *view);

#endif
