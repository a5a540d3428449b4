/* SPDX-License-Identifier: MIT */
/*
 * One look at one Python frame, for the walk (frames.c) and for the path that it left (path.c).
 * Facts from CPython's headers:
 *
 *   3.8 - 3.10   PyFrameObject chain by f_back (Include/cpython/frameobject.h); f_lasti is -1
 *                before the first instruction
 *   3.11 on      _PyInterpreterFrame chain by `previous` (pycore_frame.h). A frame whose position
 *                lies before _co_firsttraceable is still being set up (_PyFrame_IsIncomplete) and
 *                is left out, as CPython's own tracebacks leave it out; a generator's frame is
 *                always complete. Frames that the interpreter itself owns run no Python code.
 *   3.14 on      f_executable carries tag bits (pycore_stackref.h)
 *
 * Which frames are the outermost of their call of the interpreter loop: until 3.10 each; in 3.11
 * those with is_entry; later those whose `previous` is the mark that such a call puts below them, a
 * frame that the interpreter owns. The outermost of all is one in any case.
 *
 * The frames of the running thread do not change under it, and each holds a reference on its code
 * object, with or without the GIL; so plain loads are enough.
 */
#ifndef MA_HOOK_FRAME_LOOK_H
#define MA_HOOK_FRAME_LOOK_H

#include "inject/hook/config.h"
#include "inject/hook/python_memory.h"
#include "proto/unwind.h"

enum { MA_OFFSET_MAX = 1 << 28 }; /* bytes of bytecode that we believe in */

/* What a look at one frame says. */
struct ma_place {
	uint64_t previous; /* the next frame outwards */
	uint64_t code;     /* 0 = runs no Python code: leave it out */
	int64_t offset;    /* of the instruction, in bytes; negative before the first one */
	uint64_t entry;    /* MA_FRAME_ENTRY, or 0 */
};

/* Are a layout's frames objects, as until 3.10? */
static inline bool ma_frames_are_objects(const struct ma_py_layout *layout)
{
	return layout->frame_owner == MA_PY_ABSENT;
}

/* A PyFrameObject of 3.8 to 3.10. False when it is not what a frame must be. */
static inline bool ma_look_at_object(const struct ma_py_layout *layout, uint64_t frame,
				     struct ma_place *place)
{
	int64_t position;

	if (!ma_py_pointer(frame))
		return false;
	position = (int32_t)ma_py_int(frame, layout->frame_position);
	place->previous = ma_py_word(frame, layout->frame_previous);
	place->code = ma_py_word(frame, layout->frame_code);
	place->offset = layout->position == MA_PY_LASTI_UNITS ? position * 2 : position;
	place->entry = MA_FRAME_ENTRY;
	return ma_py_pointer(place->code);
}

/* Is this _PyInterpreterFrame, called from `previous`, where a call of the loop begins? */
static inline bool ma_frame_is_entry(const struct ma_py_layout *layout, uint64_t frame,
				     uint64_t previous)
{
	if (!ma_py_pointer(previous))
		return true;
	if (layout->frame_is_entry != MA_PY_ABSENT)
		return ma_py_byte(frame, layout->frame_is_entry) == 1;
	return ma_py_byte(previous, layout->frame_owner) >= layout->owner_skip;
}

/* An _PyInterpreterFrame of 3.11 on: the same, with _PyFrame_IsIncomplete. */
static inline bool ma_look_at_interpreter_frame(const struct ma_py_layout *layout, uint64_t frame,
						struct ma_place *place)
{
	uint64_t code;
	uint8_t owner;

	if (!ma_py_pointer(frame))
		return false;
	place->previous = ma_py_word(frame, layout->frame_previous);
	owner = ma_py_byte(frame, layout->frame_owner);
	if (owner >= layout->owner_skip && layout->owner_skip) {
		place->code = 0;
		return true;
	}
	code = ma_py_word(frame, layout->frame_code) & ~(uint64_t)layout->code_ref_mask;
	if (!ma_py_pointer(code))
		return false;
	place->code = code;
	place->entry = ma_frame_is_entry(layout, frame, place->previous) ? MA_FRAME_ENTRY : 0;
	/* The position is the code unit begun last (3.11, 3.12) or the current one. */
	place->offset = (int64_t)(ma_py_word(frame, layout->frame_position) - code -
				  layout->code_instructions);
	if (owner != layout->owner_generator &&
	    place->offset < 2 * (int64_t)(int32_t)ma_py_int(code, layout->code_first_traceable))
		place->code = 0;
	return true;
}

/* `objects` is ma_frames_are_objects: a constant where it is used, so that there are two loops. */
static inline __attribute__((always_inline)) bool
ma_look_at_frame(const struct ma_py_layout *layout, bool objects, uint64_t frame,
		 struct ma_place *place)
{
	return objects ? ma_look_at_object(layout, frame, place)
		       : ma_look_at_interpreter_frame(layout, frame, place);
}

#endif
