/* SPDX-License-Identifier: MIT */
/*
 * Following a stack: frames are looked at from the innermost outwards until one is met that is in
 * the path and where it was; what lies outside of it is compared as far as needed, and what lies
 * inside of it is appended.
 *
 * Only frames that are known to be on the stack are read: a frame's address in the path is used
 * after the frame inside of it was seen to name it as its caller.
 *
 * Whoever is thrown out of here (a signal handler's siglongjmp) leaves an empty path: `count` is 0
 * while the path is worked at.
 */
#include "inject/hook/path.h"

#include "inject/hook/path_quick.h"
#include "inject/hook/tables.h"

/* Frames compared between two looks at whether the interpreter shuts down. */
enum { FRAMES_A_LOOK = 16 };

static uint16_t *find_slot(struct ma_path *path, uint64_t frame)
{
	return &path->find[(frame >> 3 ^ frame >> 13) % MA_PATH_FIND];
}

/* Of an interpreter frame. */
static uint32_t kind_of(const struct ma_py_layout *layout, uint64_t frame,
			const struct ma_place *place)
{
	uint8_t owner = ma_py_byte(frame, layout->frame_owner);
	uint32_t kind = 0;

	if (layout->frame_is_entry != MA_PY_ABSENT)
		kind = (uint32_t)ma_py_byte(frame, layout->frame_is_entry) << MA_KIND_IS_ENTRY;
	if (!place->code)
		return kind | MA_KIND_LEFT_OUT | MA_KIND_OWNER | owner;
	if (owner == layout->owner_generator)
		kind |= MA_KIND_OWNER | owner;
	return kind | (place->entry ? MA_KIND_ENTRY : 0);
}

/* A frame that is not in the path. False: it is nothing that a path can hold. */
static inline __attribute__((always_inline)) bool look(const struct ma_path_guide *guide,
						       bool objects, uint64_t frame,
						       struct ma_step *step, uint64_t *previous)
{
	const struct ma_py_layout *layout = &guide->config->layout;
	struct ma_place place;

	if (ma_path_is_finalizing(guide) || !ma_look_at_frame(layout, objects, frame, &place))
		return false;
	*previous = place.previous;
	*step = (struct ma_step){
		.frame = frame,
		.position = ma_path_position(layout, objects, frame),
		.code = place.code,
	};
	if (!objects)
		step->kind = kind_of(layout, frame, &place);
	else if (place.entry)
		step->kind = MA_KIND_ENTRY;
	if (!place.code)
		return true;
	step->node = ma_codes_find(&guide->area->tables, place.code);
	return step->node && step->node != MA_CODE_UNSEEN && place.offset <= MA_OFFSET_MAX;
}

/* The word of a step that was just made, in the tables of the area. */
static uint64_t word_of(const struct ma_py_layout *layout, bool objects, const struct ma_step *step)
{
	int64_t offset;

	if (objects)
		offset = (int64_t)(int32_t)step->position *
			 (layout->position == MA_PY_LASTI_UNITS ? 2 : 1);
	else
		offset = (int64_t)(step->position - step->code - layout->code_instructions);
	return MA_FRAME(step->node, offset < 0 ? 0 : offset) |
	       (step->kind & MA_KIND_ENTRY ? MA_FRAME_ENTRY : 0);
}

/* Appends the steps that lie at the end of the room, outermost first. */
static inline __attribute__((always_inline)) void append(const struct ma_path_guide *guide,
							 bool objects, struct ma_path *path,
							 uint32_t count, uint32_t fresh)
{
	uint32_t node = count ? path->steps[count - 1].node : MA_CALL_ROOT;

	for (uint32_t from = MA_MAX_PYTHON_FRAMES - fresh; from < MA_MAX_PYTHON_FRAMES;
	     from++, count++) {
		struct ma_step *step = &path->steps[count];

		*step = path->steps[from];
		if (!(step->kind & MA_KIND_LEFT_OUT))
			node = ma_call_tree_child(guide->tree, node,
						  word_of(&guide->config->layout, objects, step));
		step->node = node;
		*find_slot(path, step->frame) = (uint16_t)count;
	}
}

/* How many frames, beyond the innermost one that is where it was, can have changed. */
static uint32_t changeable(const struct ma_path_guide *guide, struct ma_path *path, uint32_t at)
{
	uint32_t clock_ms;
	uint64_t now, elapsed;

	if (at <= MA_PATH_ALWAYS)
		return at;
	clock_ms = __atomic_load_n(&guide->area->control.clock_ms, __ATOMIC_RELAXED);
	now = ma_cpu_ticks();
	elapsed = now - path->ticks;
	if (clock_ms != path->clock_ms || elapsed > UINT32_MAX ||
	    guide->frames_per_tick > UINT32_MAX) {
		path->clock_ms = clock_ms;
		return at;
	}
	return MA_PATH_ALWAYS + (uint32_t)(elapsed * guide->frames_per_tick >> 32);
}

/*
 * Compares outwards from this step, which is where it was, until `left` frames are done or there is
 * none left. Returns how far it came; NULL: a frame is not what it was.
 */
static inline __attribute__((always_inline)) const struct ma_step *
compare_some(const struct ma_py_layout *layout, bool objects, const struct ma_path *path,
	     const struct ma_step *step, uint32_t left)
{
	uint64_t previous = layout->frame_previous;

	for (; step > path->steps; step--) {
		if (ma_py_word(step->frame, previous) != step[-1].frame ||
		    !ma_path_is_there(layout, objects, step - 1))
			return NULL;
		/* To go on in a generator can take less than a call. */
		if (!(step->kind & MA_KIND_OWNER) && !--left)
			return step - 1;
	}
	return step;
}

/* Are the frames outside of step `at`, which is where it was, those of the path still? */
static inline __attribute__((always_inline)) bool
is_same_outside(const struct ma_path_guide *guide, bool objects, struct ma_path *path, uint32_t at)
{
	const struct ma_py_layout *layout = &guide->config->layout;
	uint32_t left = changeable(guide, path, at);
	const struct ma_step *step = &path->steps[at];

	while (step > path->steps && left) {
		uint32_t some = left < FRAMES_A_LOOK ? left : FRAMES_A_LOOK;

		step = compare_some(layout, objects, path, step, some);
		if (!step)
			return false;
		left -= some;
		if (left && ma_path_is_finalizing(guide))
			return false;
	}
	/* From now on: what was just done is no time that Python had. */
	if (at > MA_PATH_ALWAYS)
		path->ticks = ma_cpu_ticks();
	return step > path->steps || !ma_py_word(step->frame, layout->frame_previous);
}

/*
 * The step of this frame among the first `known` ones; else `known`. Mostly it is the last of them,
 * or its caller.
 */
static uint32_t step_of(struct ma_path *path, uint64_t frame, uint32_t known)
{
	uint32_t at;

	if (known && path->steps[known - 1].frame == frame)
		return known - 1;
	at = *find_slot(path, frame);
	return at < known && path->steps[at].frame == frame ? at : known;
}

/*
 * The steps of this stack, of which the first `known` of the path may be a part; 0 = it cannot be
 * held. `frame` is the innermost one.
 */
static inline __attribute__((always_inline)) uint32_t follow(const struct ma_path_guide *guide,
							     bool objects, struct ma_path *path,
							     uint64_t frame, uint32_t known)
{
	const struct ma_py_layout *layout = &guide->config->layout;
	uint32_t fresh = 0, at;

	while (frame) {
		at = step_of(path, frame, known);
		if (at < known && ma_path_is_there(layout, objects, &path->steps[at])) {
			if (!is_same_outside(guide, objects, path, at))
				return 0;
			append(guide, objects, path, at + 1, fresh);
			return at + 1 + fresh;
		}
		known = at;
		if (fresh == MA_MAX_PYTHON_FRAMES - known ||
		    !look(guide, objects, frame, &path->steps[MA_MAX_PYTHON_FRAMES - 1 - fresh],
			  &frame))
			return 0;
		fresh++;
	}
	append(guide, objects, path, 0, fresh);
	return fresh;
}

/* Follows; and once more from the beginning where the path was no help. */
static inline __attribute__((always_inline)) uint32_t
follow_again(const struct ma_path_guide *guide, bool objects, struct ma_path *path, uint64_t frame,
	     uint32_t known)
{
	uint32_t count = known ? follow(guide, objects, path, frame, known) : 0;

	return count ? count : follow(guide, objects, path, frame, 0);
}

/* The innermost frame; 0 = none. */
static uint64_t innermost(const struct ma_path_guide *guide, const struct ma_path *path,
			  uint64_t *state, uint32_t *flags)
{
	const struct ma_py_layout *layout = &guide->config->layout;
	uint64_t frame = 0;

	*state = path->state;
	if (path->count && layout->runtime_gil_holder != MA_PY_ABSENT &&
	    !ma_path_is_finalizing(guide) && ma_path_holds_gil(guide, path))
		frame = ma_path_innermost(layout, *state);
	return frame ? frame : ma_frames_innermost(guide->config, state, flags);
}

bool ma_path_follow(const struct ma_path_guide *guide, struct ma_path *path)
{
	uint64_t generation = __atomic_load_n(&guide->generation, __ATOMIC_RELAXED);
	uint32_t known = path->count, flags = 0;
	uint64_t state, frame = innermost(guide, path, &state, &flags);

	path->count = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	path->bare = !frame && !(flags & ~(uint32_t)MA_STACK_NO_PYTHON);
	if (!frame || flags)
		return false;
	if (path->state != state || path->generation != generation)
		known = 0;
	path->state = state;
	path->generation = generation;
	if (ma_frames_are_objects(&guide->config->layout))
		known = follow_again(guide, true, path, frame, known);
	else
		known = follow_again(guide, false, path, frame, known);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	path->count = known;
	return known != 0;
}

void ma_path_keep_turn(const struct ma_path_guide *guide, struct ma_path *path)
{
	const struct ma_py_layout *layout = &guide->config->layout;
	const struct ma_step *step = &path->steps[path->count - 1];
	struct ma_turn *turn = ma_path_turn(path, step->position);

	/* Nobody looks for those of long paths. */
	if (step->kind & MA_KIND_LEFT_OUT || path->count - 1 > MA_PATH_ALWAYS)
		return;
	/* Who is thrown out of here leaves none. */
	turn->parent = MA_CALL_NONE;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	turn->position = step->position;
	turn->code = step->code;
	turn->generation = path->generation;
	turn->node = step->node;
	turn->kind = step->kind;
	if (!ma_frames_are_objects(layout))
		turn->owner = ma_py_byte(step->frame, layout->frame_owner);
	for (uint32_t i = 0; i < MA_CALL_DOMAINS; i++)
		turn->site[i] = path->site[i];
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	turn->parent = ma_path_parent(path);
}
