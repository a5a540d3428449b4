/* SPDX-License-Identifier: MIT */
/*
 * The walk over a thread's Python frames, done by that thread itself inside an allocator hook: from
 * the state of the thread to its innermost frame, and outwards from there (frame_look.h).
 */
#include "inject/hook/code_check.h"
#include "inject/hook/cpu.h"
#include "inject/hook/frame_look.h"
#include "inject/hook/python_memory.h"
#include "inject/hook/tables.h"

enum { MAX_HOPS = 4 * MA_MAX_PYTHON_FRAMES }; /* frames looked at, those left out included */

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

/* The id of a code object that runs on this thread, described if it is new; 0 = cannot be. */
static inline uint32_t code_id(struct ma_area *area, const struct ma_py_layout *layout,
			       const struct ma_writer *writer, uint64_t code, bool *busy)
{
	uint64_t known = ma_codes_identity(&area->tables, code);
	uint32_t id = (uint32_t)known;

	if (id == MA_CODE_UNSEEN || !ma_code_check_holds(layout, code, known))
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
	struct ma_place place;

	for (; frame; frame = place.previous) {
		/* Asked at each frame: states and frames are freed soon after it is set. */
		if (__atomic_load_n(finalizing, __ATOMIC_RELAXED)) {
			walk->flags |= MA_STACK_FINALIZING;
			break;
		}
		if (!ma_look_at_frame(layout, objects, frame, &place)) {
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
		if (place.offset > MA_OFFSET_MAX) {
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

uint64_t ma_frames_innermost(const struct ma_hook_config *config, uint64_t *state, uint32_t *flags)
{
	*state = 0;
	if (ma_py_word(config->py_runtime, config->layout.runtime_finalizing)) {
		*flags |= MA_STACK_FINALIZING;
		return 0;
	}
	*state = thread_state(config, flags);
	return *state ? first_frame(&config->layout, *state, flags) : 0;
}

void ma_frames_walk(struct ma_area *area, const struct ma_hook_config *config,
		    const struct ma_writer *writer, struct ma_walk *walk)
{
	const struct ma_py_layout *layout = &config->layout;
	uint64_t frame, state;

	*walk = (struct ma_walk){.frames = walk->frames};
	frame = ma_frames_innermost(config, &state, &walk->flags);
	if (ma_frames_are_objects(layout))
		walk_from(area, config, writer, walk, frame, true);
	else
		walk_from(area, config, writer, walk, frame, false);
	if (!walk->count && !walk->flags)
		walk->flags = MA_STACK_NO_PYTHON;
}
