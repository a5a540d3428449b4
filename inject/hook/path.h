/* SPDX-License-Identifier: MIT */
/*
 * A thread's path, for exact mode: its Python stack as it was when it last asked, outermost frame
 * first, with the node of the calling tree for each. Most of a stack is the same from one
 * allocation to the next; what is the same need not be read again, but it has to be known that it
 * is.
 *
 * A frame is where it was if it holds the same position in the same code; the stack is the same
 * from there outwards if that holds for every frame up to the outermost. No single frame tells: a
 * caller can have gone on, and called what looks alike. But a caller goes on only after the frames
 * inside it have returned, and those that look alike had to be called anew. So after a short time
 * only so many frames can have changed, from the innermost one on, and those are compared:
 * MA_PATH_ALWAYS, and one more for each ma_path_call_ns. A Python call and its return take several
 * times as long (docs/performance.md); generators, which can be quicker, do not count. After a
 * longer time all frames are compared. The one way to
 * change a frame from inside is a debugger's jump: it is noticed with the daemon's next tick of the
 * clock, at which all frames are compared as well.
 *
 * Thread context: as in site.h. A path belongs to one thread.
 */
#ifndef MA_HOOK_PATH_H
#define MA_HOOK_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/hook/call_tree.h"
#include "inject/hook/config.h"

enum {
	MA_PATH_ALWAYS = 16, /* frames that are always compared */
	MA_PATH_FIND = 1024,
	MA_PATH_TURNS = 64,
};

/* Nanoseconds: less than any call of Python code and its return take in this version. */
static inline uint32_t ma_path_call_ns(uint32_t version)
{
	return version < 0x030e ? 5 : 2;
}

struct ma_step {
	uint64_t frame;    /* its address */
	uint64_t position; /* the word, or before 3.11 the int, that says where it is */
	uint64_t code;     /* its code object, or what it holds instead */
	uint32_t node;     /* of the stack up to here; while the step is new, the code's id */
	uint32_t kind;     /* what else must be the same, see path_quick.h */
};

/* Where an innermost frame was, not long ago; see path_quick.h. */
struct ma_turn {
	uint64_t position;   /* as in struct ma_step */
	uint64_t code;       /* the same */
	uint64_t generation; /* of the code map */
	uint32_t parent;     /* node of the frames outside of it; MA_CALL_NONE = no turn is here */
	uint32_t node;       /* with it */
	uint32_t kind;
	uint32_t owner; /* of its frame */
	uint32_t site[MA_CALL_DOMAINS];
};

struct ma_path {
	uint64_t state;      /* the thread state whose frames these are */
	uint64_t generation; /* of the code map */
	uint64_t ticks;      /* when it was true */
	uint32_t clock_ms;   /* when all of it was compared, as the daemon's clock has it */
	uint32_t count;      /* steps; 0 = nothing is known */
	uint32_t bare;       /* 1: the thread has no Python frame */
	uint32_t site_node;  /* node, or MA_CALL_ROOT for a bare thread, that asked last */
	uint32_t site[MA_CALL_DOMAINS];      /* its sites, by domain from 1; or 0 */
	uint16_t find[MA_PATH_FIND];         /* hash of a frame's address -> its step, or another */
	struct ma_turn turns[MA_PATH_TURNS]; /* by hash of the position */
	struct ma_step steps[MA_MAX_PYTHON_FRAMES];
};

/* What is the same for all paths. */
struct ma_path_guide {
	struct ma_area *area;
	const struct ma_hook_config *config;
	struct ma_call_tree *tree;
	uint64_t generation;      /* raised whenever the code map lost an entry */
	uint64_t frames_per_tick; /* 2^32 / ticks of ma_path_call_ns; UINT64_MAX: unknown */
};

/*
 * Makes the path what the calling thread's stack is now. False, with an empty path, when that is
 * nothing that it can hold: no frames (then it is bare), too many, one that cannot be read, or one
 * whose code object was not met before.
 */
bool ma_path_follow(const struct ma_path_guide *guide, struct ma_path *path);

/* Its node of the calling tree. The path is not empty. */
static inline uint32_t ma_path_node(const struct ma_path *path)
{
	return path->steps[path->count - 1].node;
}

#endif
