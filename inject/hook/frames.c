/* SPDX-License-Identifier: MIT */
/*
 * The walk over a thread's Python frames, done by that thread itself inside an allocator hook. The
 * frames of the running thread do not change under it, and each holds a reference on its code
 * object, with or without the GIL; so plain loads are enough. Facts from CPython's headers:
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
 */
#include "inject/hook/cpu.h"
#include "inject/hook/python_memory.h"
#include "inject/hook/tables.h"
#include "proto/unwind.h"

enum {
	MAX_HOPS = 4 * MA_MAX_PYTHON_FRAMES, /* frames looked at, those left out included */
	MAX_OFFSET = 1 << 28,                /* bytes of bytecode that we believe in */
};

typedef uint64_t this_thread_state(void); /* PyGILState_GetThisThreadState, a leaf */

/*
 * The state of this thread, or 0 with a flag that says why there is none.
 *
 * Until 3.11 the function returns the first state that this thread ever had, which is the wrong one
 * while it runs another interpreter. Where several interpreters exist (the newest is not the main
 * one) the GIL's holder is asked: when that is a state of this thread, it is the running one;
 * otherwise nobody can tell. The holder may belong to another thread that is just about to free it,
 * but a state is small heap memory that was in use a moment ago: at worst the thread id read there
 * is stale, and a stale one is not ours.
 */
static uint64_t thread_state(const struct ma_hook_config *config, uint32_t *flags)
{
	const struct ma_py_layout *layout = &config->layout;
	this_thread_state *get = (this_thread_state *)(uintptr_t)config->py_thread_state;
	uint64_t state = get ? get() : 0, holder;

	if (!state) {
		*flags |= MA_STACK_NO_PYTHON;
		return 0;
	}
	if (layout->runtime_gil_holder == MA_PY_ABSENT ||
	    ma_py_word(config->py_runtime, layout->runtime_head_interpreter) ==
		    ma_py_word(config->py_runtime, layout->runtime_main_interpreter))
		return state;
	holder = ma_py_word(config->py_runtime, layout->runtime_gil_holder);
	if (holder == state)
		return state;
	if (ma_py_pointer(holder) &&
	    ma_py_word(holder, layout->tstate_thread_id) == ma_cpu_thread_pointer())
		return holder;
	*flags |= MA_STACK_FOREIGN;
	return 0;
}

/* The innermost frame of a state; 0 = none. */
static uint64_t first_frame(const struct ma_py_layout *layout, uint64_t state, uint32_t *flags)
{
	uint64_t cframe;

	if (!ma_py_pointer(state)) {
		*flags |= MA_STACK_BROKEN;
		return 0;
	}
	if (layout->tstate_cframe == MA_PY_ABSENT)
		return ma_py_word(state, layout->tstate_frame);
	cframe = ma_py_word(state, layout->tstate_cframe);
	if (!cframe)
		return 0;
	if (!ma_py_pointer(cframe)) {
		*flags |= MA_STACK_BROKEN;
		return 0;
	}
	return ma_py_word(cframe, layout->cframe_current_frame);
}

/* What a look at one frame says. */
struct place {
	uint64_t previous; /* the next frame outwards */
	uint64_t code;     /* 0 = runs no Python code: leave it out */
	int64_t offset;    /* of the instruction, in bytes; negative before the first one */
	uint64_t entry;    /* MA_FRAME_ENTRY, or 0 */
};

/* A PyFrameObject of 3.8 to 3.10. False when it is not what a frame must be. */
static inline bool look_at_object(const struct ma_py_layout *layout, uint64_t frame,
				  struct place *place)
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
static inline bool is_entry(const struct ma_py_layout *layout, uint64_t frame, uint64_t previous)
{
	if (!ma_py_pointer(previous))
		return true;
	if (layout->frame_is_entry != MA_PY_ABSENT)
		return ma_py_byte(frame, layout->frame_is_entry) == 1;
	return ma_py_byte(previous, layout->frame_owner) >= layout->owner_skip;
}

/* An _PyInterpreterFrame of 3.11 on: the same, with _PyFrame_IsIncomplete. */
static inline bool look_at_interpreter_frame(const struct ma_py_layout *layout, uint64_t frame,
					     struct place *place)
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
	place->entry = is_entry(layout, frame, place->previous) ? MA_FRAME_ENTRY : 0;
	/* The position is the code unit begun last (3.11, 3.12) or the current one. */
	place->offset = (int64_t)(ma_py_word(frame, layout->frame_position) - code -
				  layout->code_instructions);
	if (owner != layout->owner_generator &&
	    place->offset < 2 * (int64_t)(int32_t)ma_py_int(code, layout->code_first_traceable))
		place->code = 0;
	return true;
}

/* The id of a code object that runs on this thread, described if it is new; 0 = cannot be. */
static inline uint32_t code_id(struct ma_area *area, const struct ma_py_layout *layout,
			       const struct ma_writer *writer, uint64_t code, bool *busy)
{
	uint32_t id = ma_codes_find(&area->tables, code);

	if (id == MA_CODE_UNSEEN)
		id = ma_codes_describe(area, layout, writer, code, busy);
	if (!id)
		ma_counter_add(&area->counters.frames_unknown, 1);
	return id;
}

/* Walks from a frame outwards. `objects` is constant at each call, so that there are two loops. */
static inline __attribute__((always_inline)) void
walk_from(struct ma_area *area, const struct ma_hook_config *config, const struct ma_writer *writer,
	  struct ma_walk *walk, uint64_t frame, bool objects)
{
	const struct ma_py_layout copy = config->layout, *layout = &copy; /* for the registers */
	const uint64_t *finalizing = ma_py_at(config->py_runtime + copy.runtime_finalizing);
	uint64_t hash = 0, word;
	uint32_t hops = 0, count = 0;
	struct place place;

	for (; frame; frame = place.previous) {
		/* Asked at each frame: states and frames are freed soon after it is set. */
		if (__atomic_load_n(finalizing, __ATOMIC_RELAXED)) {
			walk->flags |= MA_STACK_FINALIZING;
			break;
		}
		if (!(objects ? look_at_object(layout, frame, &place)
			      : look_at_interpreter_frame(layout, frame, &place))) {
			walk->flags |= MA_STACK_BROKEN;
			break;
		}
		if (++hops == MAX_HOPS || (place.code && count == MA_MAX_PYTHON_FRAMES)) {
			walk->flags |= MA_STACK_TRUNCATED;
			break;
		}
		if (!place.code)
			continue;
		if (place.offset < 0)
			place.offset = 0;
		if (place.offset > MAX_OFFSET) {
			walk->flags |= MA_STACK_BROKEN;
			break;
		}
		word = MA_FRAME(code_id(area, &config->layout, writer, place.code, &walk->busy),
				place.offset) |
		       place.entry;
		hash = ma_walk_mix(hash, word);
		walk->frames[count++] = word;
	}
	walk->count = count;
	walk->hash = hash;
}

void ma_frames_walk(struct ma_area *area, const struct ma_hook_config *config,
		    const struct ma_writer *writer, struct ma_walk *walk)
{
	const struct ma_py_layout *layout = &config->layout;
	uint64_t state, frame = 0;

	*walk = (struct ma_walk){.frames = walk->frames};
	if (*(const uint64_t *)ma_py_at(config->py_runtime + layout->runtime_finalizing)) {
		walk->flags = MA_STACK_FINALIZING;
		return;
	}
	state = thread_state(config, &walk->flags);
	if (state)
		frame = first_frame(layout, state, &walk->flags);
	if (layout->frame_owner == MA_PY_ABSENT)
		walk_from(area, config, writer, walk, frame, true);
	else
		walk_from(area, config, writer, walk, frame, false);
	if (!walk->count && !walk->flags)
		walk->flags = MA_STACK_NO_PYTHON;
}
