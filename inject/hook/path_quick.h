/* SPDX-License-Identifier: MIT */
/*
 * The path of a thread that asks again from where it asked before: most allocations. Either nothing
 * has changed, or only the innermost frame has gone on, to a place where it was not long ago (a
 * turn). Then no table is looked into and next to nothing is written; all else is path.c's.
 *
 * No more is believed than there: every frame is compared, and paths of more than MA_PATH_ALWAYS
 * frames are left to path.c. The state of the thread need not be asked for where the GIL's holder
 * is the state of the path, and of this thread.
 */
#ifndef MA_HOOK_PATH_QUICK_H
#define MA_HOOK_PATH_QUICK_H

#include "inject/hook/cpu.h"
#include "inject/hook/frame_look.h"
#include "inject/hook/path.h"

#define MA_PATH_INLINE static inline __attribute__((always_inline))

/*
 * Kind of a step. From 3.11 on it depends on a frame's owner, too, whether the frame is left out:
 * it is compared where it did, and with generators, whose frames never are. Whether a call of the
 * interpreter loop begins there is told by is_entry in 3.11; else by the frame further out.
 */
enum {
	MA_KIND_OWNER = 1 << 8,    /* the low byte is the owner, and must be the same */
	MA_KIND_LEFT_OUT = 1 << 9, /* runs no Python code */
	MA_KIND_ENTRY = 1 << 10,   /* its word says so */
	MA_KIND_IS_ENTRY = 16,     /* where 3.11's is_entry is */
};

MA_PATH_INLINE bool ma_path_is_finalizing(const struct ma_path_guide *guide)
{
	const uint64_t *word =
		ma_py_at(guide->config->py_runtime + guide->config->layout.runtime_finalizing);

	return __atomic_load_n(word, __ATOMIC_RELAXED) != 0;
}

MA_PATH_INLINE uint64_t ma_path_position(const struct ma_py_layout *layout, bool objects,
					 uint64_t frame)
{
	return objects ? ma_py_int(frame, layout->frame_position)
		       : ma_py_word(frame, layout->frame_position);
}

/* Is the frame of this step, which is on the stack, where it was? Its code tells nothing that an
 * instruction's address does not, from 3.11 on. */
MA_PATH_INLINE bool ma_path_is_there(const struct ma_py_layout *layout, bool objects,
				     const struct ma_step *step)
{
	if (ma_path_position(layout, objects, step->frame) != step->position)
		return false;
	if (objects)
		return ma_py_word(step->frame, layout->frame_code) == step->code;
	return !(step->kind & MA_KIND_OWNER) ||
	       ma_py_byte(step->frame, layout->frame_owner) == (uint8_t)step->kind;
}

/* Where a turn from this position is kept. */
MA_PATH_INLINE struct ma_turn *ma_path_turn(struct ma_path *path, uint64_t position)
{
	return &path->turns[(position >> 1 ^ position >> 7) % MA_PATH_TURNS];
}

/* What is outside of the innermost step, which is the last. */
MA_PATH_INLINE uint32_t ma_path_parent(const struct ma_path *path)
{
	return path->count > 1 ? path->steps[path->count - 2].node : MA_CALL_ROOT;
}

/* Keeps, as a turn, where the innermost frame is, and the sites of the path. */
void ma_path_keep_turn(const struct ma_path_guide *guide, struct ma_path *path);

/* Makes a turn: the path, whose innermost frame it fits, leads there now. */
MA_PATH_INLINE void ma_path_make_turn(struct ma_path *path, const struct ma_turn *turn)
{
	uint32_t count = path->count;
	struct ma_step *step = &path->steps[count - 1];

	/* Who is thrown out of here leaves an empty path, and no site of another node. */
	path->count = 0;
	path->site_node = MA_CALL_NONE;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	step->position = turn->position;
	step->code = turn->code;
	step->node = turn->node;
	step->kind = turn->kind;
	for (uint32_t i = 0; i < MA_CALL_DOMAINS; i++)
		path->site[i] = turn->site[i];
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	path->site_node = turn->node;
	path->count = count;
}

/* The turn that the innermost frame, which has gone on, has made; or NULL. */
MA_PATH_INLINE const struct ma_turn *ma_path_turn_made(const struct ma_py_layout *layout,
						       bool objects, struct ma_path *path)
{
	uint64_t frame = path->steps[path->count - 1].frame;
	uint64_t position = ma_path_position(layout, objects, frame);
	const struct ma_turn *turn = ma_path_turn(path, position);

	if (turn->position != position || turn->parent != ma_path_parent(path) ||
	    turn->generation != path->generation)
		return NULL;
	if (objects)
		return ma_py_word(frame, layout->frame_code) == turn->code ? turn : NULL;
	if (ma_py_byte(frame, layout->frame_owner) != turn->owner)
		return NULL;
	return ma_frame_is_entry(layout, frame, ma_py_word(frame, layout->frame_previous)) ==
			       !!(turn->kind & MA_KIND_ENTRY)
		       ? turn
		       : NULL;
}

/* Are the frames outside of the innermost one, which is on the stack, those of the path still? */
MA_PATH_INLINE bool ma_path_outside_is_same(const struct ma_py_layout *layout, bool objects,
					    const struct ma_path *path)
{
	const struct ma_step *step = &path->steps[path->count - 1];
	uint64_t previous = layout->frame_previous;

	for (; step > path->steps; step--)
		if (ma_py_word(step->frame, previous) != step[-1].frame ||
		    !ma_path_is_there(layout, objects, step - 1))
			return false;
	return !ma_py_word(step->frame, previous);
}

/* The innermost frame of a state that had frames before, and is alive. */
MA_PATH_INLINE uint64_t ma_path_innermost(const struct ma_py_layout *layout, uint64_t state)
{
	uint64_t cframe;

	if (layout->tstate_cframe == MA_PY_ABSENT)
		return ma_py_word(state, layout->tstate_frame);
	cframe = ma_py_word(state, layout->tstate_cframe);
	return ma_py_pointer(cframe) ? ma_py_word(cframe, layout->cframe_current_frame) : 0;
}

/* The site of a path that has steps, and whose state is this thread's; 0 = this is no help. */
MA_PATH_INLINE uint32_t ma_path_quick_site(const struct ma_path_guide *guide, bool objects,
					   struct ma_path *path, uint8_t domain)
{
	const struct ma_py_layout *layout = &guide->config->layout;
	const struct ma_step *step = &path->steps[path->count - 1];
	const struct ma_turn *turn;

	if (ma_path_innermost(layout, path->state) != step->frame ||
	    !ma_path_outside_is_same(layout, objects, path))
		return 0;
	if (ma_path_is_there(layout, objects, step)) {
		if (step->node != path->site_node || step->node - 1 >= MA_CALL_NODES - 1)
			return 0;
	} else {
		turn = ma_path_turn_made(layout, objects, path);
		if (!turn)
			return 0;
		ma_path_make_turn(path, turn);
	}
	return path->site[domain - 1];
}

/* Can the path be of help at all: is it short, and no code object gone? */
MA_PATH_INLINE bool ma_path_is_quick(const struct ma_path_guide *guide, const struct ma_path *path)
{
	return path->count - 1 <= MA_PATH_ALWAYS &&
	       path->generation == __atomic_load_n(&guide->generation, __ATOMIC_RELAXED) &&
	       !ma_path_is_finalizing(guide);
}

/* Does the GIL's holder say that the path's state is this thread's, and running? */
MA_PATH_INLINE bool ma_path_holds_gil(const struct ma_path_guide *guide, const struct ma_path *path)
{
	const struct ma_hook_config *config = guide->config;
	const struct ma_py_layout *layout = &config->layout;

	return ma_py_word(config->py_runtime, layout->runtime_gil_holder) == path->state &&
	       ma_py_word(path->state, layout->tstate_thread_id) == ma_cpu_thread_pointer();
}

#endif
