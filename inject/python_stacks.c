/* SPDX-License-Identifier: MIT */
/*
 * Include/internal/pycore_interp.h, pycore_pystate.h, pycore_frame.h, pycore_gil.h of each version,
 * at the offsets of struct ma_py_layout. Until 3.11 the runtime says which thread state is current,
 * which is the GIL's holder; from 3.12 on each interpreter points to the GIL that it uses.
 */
#include "inject/python_stacks.h"

#include <string.h>

#include "proto/linetable.h"

enum {
	MAX_INTERPRETERS = 1024,
	MAX_HOPS = 1 << 17,    /* frames of one thread, hidden ones included */
	MAX_OFFSET = 1 << 28,  /* bytes of bytecode that we believe in */
	MAX_CHARACTERS = 1024, /* of a name or path; longer ones are cut */
	MAX_LINES = 1 << 22,   /* bytes of a line table */
	STRUCT_BYTES = 512,    /* the part of a struct that is read at once */
	REPLACEMENT = 0xfffd,
	NONE = UINT32_MAX,
};

struct reader {
	const struct ma_target_memory *memory;
	const struct ma_interpreter *interpreter;
	const struct ma_py_layout *layout;
	struct ma_py_stacks *stacks;
};

static bool is_pointer(uint64_t address)
{
	return address >= 4096 && address < UINT64_C(1) << 47 && !(address & 7);
}

static bool read_word(const struct reader *reader, uint64_t address, uint64_t *value)
{
	return !ma_memory_read_u64(reader->memory, ma_raddr(address), value, NULL);
}

static uint64_t word_at(const uint8_t *bytes, uint16_t offset)
{
	uint64_t value;

	memcpy(&value, bytes + offset, sizeof(value));
	return value;
}

static int32_t int_at(const uint8_t *bytes, uint16_t offset)
{
	int32_t value;

	memcpy(&value, bytes + offset, sizeof(value));
	return value;
}

/* The highest of some offsets that are there, and the word at it: how much to read. */
static size_t extent(const uint16_t *offsets, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		if (offsets[i] != MA_PY_ABSENT && offsets[i] + sizeof(uint64_t) > bytes)
			bytes = offsets[i] + sizeof(uint64_t);
	return bytes < STRUCT_BYTES ? bytes : STRUCT_BYTES;
}

void ma_py_stacks_clear(struct ma_py_stacks *stacks)
{
	if (stacks->code_count)
		memset(stacks->slot, 0, sizeof(stacks->slot));
	stacks->incomplete = false;
	stacks->place_count = 0;
	stacks->code_count = 0;
	stacks->text_bytes = 0;
}

/* The state that holds the GIL of an interpreter; 0 = nobody. */
static uint64_t gil_holder(const struct reader *reader, uint64_t interpreter)
{
	const struct ma_py_layout *layout = reader->layout;
	uint64_t holder = 0, gil;
	uint32_t locked = 0;

	if (layout->runtime_gil_holder != MA_PY_ABSENT)
		return read_word(reader,
				 reader->interpreter->runtime.value + layout->runtime_gil_holder,
				 &holder)
			       ? holder
			       : 0;
	if (layout->interp_gil == MA_PY_ABSENT ||
	    !read_word(reader, interpreter + layout->interp_gil, &gil) || !is_pointer(gil) ||
	    ma_memory_read_u32(reader->memory, ma_raddr(gil + layout->gil_locked), &locked, NULL) ||
	    locked != 1 || !read_word(reader, gil + layout->gil_holder, &holder))
		return 0;
	return holder;
}

static void read_states(const struct reader *reader, uint64_t interpreter)
{
	const struct ma_py_layout *layout = reader->layout;
	struct ma_py_stacks *stacks = reader->stacks;
	const uint16_t offsets[] = {layout->tstate_next, layout->tstate_thread_id};
	uint64_t holder = gil_holder(reader, interpreter), state;
	size_t bytes = extent(offsets, 2);

	if (!read_word(reader, interpreter + layout->interp_threads, &state))
		state = 1;
	while (state) {
		uint8_t content[STRUCT_BYTES];

		if (stacks->thread_count == MA_PY_THREADS || !is_pointer(state) ||
		    ma_memory_read(reader->memory, ma_raddr(state), content, bytes, NULL)) {
			stacks->incomplete = true;
			return;
		}
		stacks->thread[stacks->thread_count++] = (struct ma_py_thread){
			.state = state,
			.interpreter = interpreter,
			.thread_id = word_at(content, layout->tstate_thread_id),
			.holds_gil = state == holder,
		};
		state = word_at(content, layout->tstate_next);
	}
}

void ma_py_stacks_threads(const struct ma_target_memory *memory,
			  const struct ma_interpreter *interpreter, struct ma_py_stacks *stacks)
{
	const struct ma_py_layout *layout = &interpreter->layout;
	const struct reader reader = {memory, interpreter, layout, stacks};
	uint64_t runtime = interpreter->runtime.value, next = 0, finalizing = 1;

	stacks->thread_count = 0;
	/* Since an earlier stop other codes may have come to be at the same addresses. */
	if (stacks->code_count)
		memset(stacks->slot, 0, sizeof(stacks->slot));
	stacks->finalizing =
		!read_word(&reader, runtime + layout->runtime_finalizing, &finalizing) ||
		finalizing;
	if (stacks->finalizing ||
	    !read_word(&reader, runtime + layout->runtime_head_interpreter, &next))
		return;
	for (int i = 0; next; i++) {
		if (i == MAX_INTERPRETERS || !is_pointer(next)) {
			stacks->incomplete = true;
			return;
		}
		read_states(&reader, next);
		if (!read_word(&reader, next + layout->interp_next, &next))
			next = 1;
	}
}

static void put_byte(struct ma_py_stacks *stacks, unsigned byte)
{
	if (stacks->text_bytes < MA_PY_TEXT_BYTES)
		stacks->text[stacks->text_bytes++] = (char)byte;
	else
		stacks->incomplete = true;
}

static void put_character(struct ma_py_stacks *stacks, uint32_t c)
{
	if (!c || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = REPLACEMENT;
	if (c < 0x80) {
		put_byte(stacks, c);
		return;
	}
	if (c < 0x800) {
		put_byte(stacks, 0xc0 | c >> 6);
	} else if (c < 0x10000) {
		put_byte(stacks, 0xe0 | c >> 12);
		put_byte(stacks, 0x80 | (c >> 6 & 63));
	} else {
		put_byte(stacks, 0xf0 | c >> 18);
		put_byte(stacks, 0x80 | (c >> 12 & 63));
		put_byte(stacks, 0x80 | (c >> 6 & 63));
	}
	put_byte(stacks, 0x80 | (c & 63));
}

/* Copies a str as UTF-8. Returns where it is in the text; "" for what is no str. */
static uint32_t copy_text(const struct reader *reader, uint64_t object)
{
	const struct ma_py_layout *layout = reader->layout;
	const uint16_t offsets[] = {layout->unicode_length, layout->unicode_state};
	uint8_t head[STRUCT_BYTES], characters[MAX_CHARACTERS * 4];
	uint32_t at = reader->stacks->text_bytes, state, kind;
	uint64_t length, data;

	if (is_pointer(object) &&
	    !ma_memory_read(reader->memory, ma_raddr(object), head, extent(offsets, 2), NULL)) {
		length = word_at(head, layout->unicode_length);
		state = (uint32_t)int_at(head, layout->unicode_state);
		kind = state >> layout->unicode_kind_shift & 7;
		if (length > MAX_CHARACTERS)
			length = MAX_CHARACTERS;
		if (state >> layout->unicode_compact_shift & 1)
			data = object + (state >> layout->unicode_ascii_shift & 1
						 ? layout->unicode_ascii
						 : layout->unicode_compact);
		else if (!read_word(reader, object + layout->unicode_compact, &data))
			kind = 0;
		if ((kind == 1 || kind == 2 || kind == 4) &&
		    !ma_memory_read(reader->memory, ma_raddr(data), characters, length * kind,
				    NULL))
			for (uint64_t i = 0; i < length; i++) {
				uint32_t c = 0;

				memcpy(&c, characters + i * kind, kind);
				put_character(reader->stacks, c);
			}
	}
	put_byte(reader->stacks, '\0');
	/* When room is out the last byte still ends the text. */
	if (reader->stacks->text_bytes == MA_PY_TEXT_BYTES)
		reader->stacks->text[MA_PY_TEXT_BYTES - 1] = '\0';
	return at < MA_PY_TEXT_BYTES ? at : MA_PY_TEXT_BYTES - 1;
}

static void copy_lines(const struct reader *reader, uint64_t object, struct ma_py_code *code)
{
	struct ma_py_stacks *stacks = reader->stacks;
	uint64_t size;

	if (!is_pointer(object) || !read_word(reader, object + reader->layout->bytes_size, &size) ||
	    size > MAX_LINES || size > MA_PY_TEXT_BYTES - stacks->text_bytes ||
	    ma_memory_read(reader->memory, ma_raddr(object + reader->layout->bytes_data),
			   stacks->text + stacks->text_bytes, size, NULL))
		return;
	code->lines = stacks->text_bytes;
	code->lines_bytes = (uint32_t)size;
	stacks->text_bytes += (uint32_t)size;
}

static bool describe(const struct reader *reader, uint64_t address, struct ma_py_code *code)
{
	const struct ma_py_layout *layout = reader->layout;
	const uint16_t offsets[] = {layout->code_name, layout->code_filename,
				    layout->code_first_line, layout->code_linetable,
				    layout->code_first_traceable};
	uint8_t content[STRUCT_BYTES];

	if (ma_memory_read(reader->memory, ma_raddr(address), content,
			   extent(offsets, sizeof(offsets) / sizeof(offsets[0])), NULL))
		return false;
	*code = (struct ma_py_code){.address = address};
	code->first_line = int_at(content, layout->code_first_line);
	if (layout->code_first_traceable != MA_PY_ABSENT)
		code->first_traceable_bytes =
			2 * (int_at(content, layout->code_first_traceable) & 0xffffff);
	code->name = copy_text(reader, word_at(content, layout->code_name));
	code->filename = copy_text(reader, word_at(content, layout->code_filename));
	copy_lines(reader, word_at(content, layout->code_linetable), code);
	return true;
}

/* Index of a code object, described when it is new; NONE = it cannot be read, or room is out. */
static uint32_t code_index(const struct reader *reader, uint64_t address)
{
	struct ma_py_stacks *stacks = reader->stacks;
	uint32_t mask = 2 * MA_PY_CODES - 1;
	uint32_t at = (uint32_t)(address * UINT64_C(0x9e3779b97f4a7c15) >> 40) & mask;

	while (stacks->slot[at]) {
		if (stacks->code[stacks->slot[at] - 1].address == address)
			return stacks->slot[at] - 1;
		at = (at + 1) & mask;
	}
	if (stacks->code_count == MA_PY_CODES ||
	    !describe(reader, address, &stacks->code[stacks->code_count]))
		return NONE;
	stacks->slot[at] = ++stacks->code_count;
	return stacks->code_count - 1;
}

/* The innermost frame of a state; 0 = none. */
static uint64_t first_frame(const struct reader *reader, uint64_t state)
{
	const struct ma_py_layout *layout = reader->layout;
	uint64_t frame = 0, cframe;

	if (layout->tstate_cframe == MA_PY_ABSENT)
		return read_word(reader, state + layout->tstate_frame, &frame) ? frame : 0;
	if (!read_word(reader, state + layout->tstate_cframe, &cframe) || !is_pointer(cframe) ||
	    !read_word(reader, cframe + layout->cframe_current_frame, &frame))
		return 0;
	return frame;
}

/* Turns the content of a frame into a place. False when it is not what a frame must be. */
static bool look(const struct reader *reader, const uint8_t *content, struct ma_py_place *place)
{
	const struct ma_py_layout *layout = reader->layout;
	uint64_t code = word_at(content, layout->frame_code) & ~(uint64_t)layout->code_ref_mask;
	bool object = layout->frame_owner == MA_PY_ABSENT;
	int64_t offset;

	*place = (struct ma_py_place){.flags = object ? MA_PY_PLACE_ENTRY : 0};
	if (!is_pointer(code))
		return false;
	place->code = code_index(reader, code);
	if (place->code == NONE)
		return false;
	if (object) {
		offset = int_at(content, layout->frame_position);
		offset = layout->position == MA_PY_LASTI_UNITS ? offset * 2 : offset;
	} else {
		offset = (int64_t)(word_at(content, layout->frame_position) - code -
				   layout->code_instructions);
		if (content[layout->frame_owner] != layout->owner_generator &&
		    offset < reader->stacks->code[place->code].first_traceable_bytes)
			place->flags |= MA_PY_PLACE_HIDDEN;
	}
	if (layout->frame_is_entry != MA_PY_ABSENT && content[layout->frame_is_entry] == 1)
		place->flags |= MA_PY_PLACE_ENTRY;
	if (offset < 0)
		offset = 0;
	place->offset_bytes = (uint32_t)offset;
	return offset <= MAX_OFFSET;
}

struct ma_py_walk ma_py_stacks_walk(const struct ma_target_memory *memory,
				    const struct ma_interpreter *interpreter,
				    struct ma_py_stacks *stacks, const struct ma_py_thread *thread)
{
	const struct ma_py_layout *layout = &interpreter->layout;
	const struct reader reader = {memory, interpreter, layout, stacks};
	const uint16_t offsets[] = {layout->frame_previous, layout->frame_code,
				    layout->frame_position, layout->frame_owner,
				    layout->frame_is_entry};
	size_t bytes = extent(offsets, sizeof(offsets) / sizeof(offsets[0]));
	struct ma_py_walk walk = {.first = stacks->place_count};
	uint64_t frame = first_frame(&reader, thread->state);

	for (int hops = 0; frame; hops++) {
		uint8_t content[STRUCT_BYTES];
		struct ma_py_place *place = &stacks->place[stacks->place_count];

		if (hops == MAX_HOPS || stacks->place_count == MA_PY_PLACES || !is_pointer(frame) ||
		    ma_memory_read(memory, ma_raddr(frame), content, bytes, NULL)) {
			walk.broken = true;
			break;
		}
		frame = word_at(content, layout->frame_previous);
		if (layout->owner_skip && content[layout->frame_owner] >= layout->owner_skip) {
			/* The mark that a call of the interpreter loop puts below its frames. */
			if (walk.count)
				place[-1].flags |= MA_PY_PLACE_ENTRY;
			continue;
		}
		if (!look(&reader, content, place)) {
			walk.broken = true;
			break;
		}
		stacks->place_count++;
		walk.count++;
	}
	if (walk.count)
		stacks->place[stacks->place_count - 1].flags |= MA_PY_PLACE_ENTRY;
	return walk;
}

int ma_py_stacks_line(const struct ma_interpreter *interpreter, const struct ma_py_stacks *stacks,
		      const struct ma_py_place *place)
{
	const struct ma_py_code *code = &stacks->code[place->code];

	return ma_linetable_line(interpreter->version, code->first_line,
				 (const uint8_t *)stacks->text + code->lines, code->lines_bytes,
				 place->offset_bytes);
}
