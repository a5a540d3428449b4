/* SPDX-License-Identifier: MIT */
/* See hook_fake_python.h. */
#include "hook_fake_python.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "inject/hook/cpu.h"
#include "inject/hook/site.h"

static __thread uint64_t this_state;

static uint64_t this_thread_state(void)
{
	return this_state;
}

static void *map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(memory != MAP_FAILED);
	return memory;
}

void fake_put(uint64_t address, uint64_t offset, uint64_t word)
{
	memcpy((void *)(uintptr_t)(address + offset), &word, sizeof(word));
}

void fake_put_int(uint64_t address, uint64_t offset, uint32_t word)
{
	memcpy((void *)(uintptr_t)(address + offset), &word, sizeof(word));
}

uint64_t fake_object(struct fake_python *python, size_t bytes, uint64_t type)
{
	uint64_t address = (uint64_t)(uintptr_t)python->memory + python->used;

	python->used += (bytes + 15) & ~(size_t)15;
	assert_true(python->used <= FAKE_MEMORY_BYTES);
	fake_put(address, python->config.layout.object_type, type);
	return address;
}

uint64_t fake_text(struct fake_python *python, const void *data, uint32_t length, uint32_t kind)
{
	const struct ma_py_layout *layout = &python->config.layout;
	uint64_t text = fake_object(python, layout->unicode_compact + (size_t)length * kind + 8,
				    python->some_type);

	fake_put(text, layout->unicode_length, length);
	fake_put_int(text, layout->unicode_state,
		     kind << layout->unicode_kind_shift | 1u << layout->unicode_compact_shift |
			     (kind == 1 ? 1u : 0u) << layout->unicode_ascii_shift);
	memcpy((void *)(uintptr_t)(text +
				   (kind == 1 ? layout->unicode_ascii : layout->unicode_compact)),
	       data, (size_t)length * kind);
	return text;
}

uint64_t fake_bytes(struct fake_python *python, const void *data, uint64_t bytes)
{
	const struct ma_py_layout *layout = &python->config.layout;
	uint64_t object = fake_object(python, layout->bytes_data + bytes + 8, python->some_type);

	fake_put(object, layout->bytes_size, bytes);
	memcpy((void *)(uintptr_t)(object + layout->bytes_data), data, bytes);
	return object;
}

void fake_code_at(struct fake_python *python, uint64_t address, uint64_t name, int first_line)
{
	const struct ma_py_layout *layout = &python->config.layout;
	static const char table[] = "\x80\x01\x02\x03";

	memset((void *)(uintptr_t)address, 0, FAKE_CODE_BYTES);
	fake_put(address, layout->object_type, python->some_type);
	fake_put(address, layout->code_name, name);
	fake_put(address, layout->code_filename, python->filename);
	fake_put_int(address, layout->code_first_line, (uint32_t)first_line);
	fake_put(address, layout->code_linetable, fake_bytes(python, table, 4));
	if (layout->code_first_traceable != MA_PY_ABSENT)
		fake_put_int(address, layout->code_first_traceable, 2);
}

uint64_t fake_code(struct fake_python *python, const char *name, int first_line)
{
	uint64_t text = fake_text(python, name, (uint32_t)strlen(name), 1);
	uint64_t address = fake_object(python, FAKE_CODE_BYTES, 0);

	fake_code_at(python, address, text, first_line);
	return address;
}

uint64_t fake_frame(struct fake_python *python, uint64_t previous, uint64_t code, int offset)
{
	const struct ma_py_layout *layout = &python->config.layout;
	uint64_t frame = fake_object(python, 128, 0);

	fake_put(frame, layout->object_type, 0);
	fake_put(frame, layout->frame_previous, previous);
	fake_put(frame, layout->frame_code, code | layout->code_ref_mask);
	if (layout->position == MA_PY_LASTI_BYTES)
		fake_put_int(frame, layout->frame_position, (uint32_t)offset);
	else if (layout->position == MA_PY_LASTI_UNITS)
		fake_put_int(frame, layout->frame_position, (uint32_t)(offset / 2));
	else
		fake_put(frame, layout->frame_position,
			 code + layout->code_instructions + (uint64_t)(int64_t)offset);
	return frame;
}

uint64_t fake_state(struct fake_python *python, uint64_t frame)
{
	const struct ma_py_layout *layout = &python->config.layout;
	uint64_t state = fake_object(python, 512, 0);
	uint64_t holder = state;
	uint16_t at = layout->tstate_frame;

	fake_put(state, layout->object_type, 0);
	if (layout->tstate_cframe != MA_PY_ABSENT) {
		holder = fake_object(python, 64, 0);
		at = layout->cframe_current_frame;
		fake_put(state, layout->tstate_cframe, holder);
	}
	fake_put(holder, at, frame);
	fake_put(state, layout->tstate_interp, python->main_interpreter);
	fake_put(state, layout->tstate_thread_id, ma_cpu_thread_pointer());
	return state;
}

void fake_enter(uint64_t state)
{
	this_state = state;
}

struct ma_walk fake_walk(struct fake_python *python, uint64_t *frames)
{
	struct ma_walk walk = {.frames = frames};

	ma_frames_walk(python->area, &python->config, &python->writer, &walk);
	return walk;
}

void fake_init(struct fake_python *python, uint32_t version)
{
	const struct ma_py_layout *layout = ma_py_layout_find(version);

	assert_non_null(layout);
	*python = (struct fake_python){
		.area = map(MA_AREA_SAMPLED_BYTES),
		.memory = map(FAKE_MEMORY_BYTES),
		.used = 4096,
		.writer = {.owner = 1, .second_ticks = UINT64_C(1) << 32, .sees_frees = true},
	};
	python->config.area = (uint64_t)(uintptr_t)python->area;
	python->config.layout = *layout;
	python->config.py_thread_state = (uint64_t)(uintptr_t)this_thread_state;
	python->config.py_runtime = fake_object(python, 4096, 0);
	fake_put(python->config.py_runtime, layout->object_type, 0);
	python->root_type = fake_object(python, 64, 0);
	fake_put(python->root_type, layout->object_type, python->root_type);
	python->some_type = fake_object(python, 64, python->root_type);
	python->filename = fake_text(python, "fake.py", 7, 1);
	python->main_interpreter = fake_object(python, 64, 0);
	fake_put(python->config.py_runtime, layout->runtime_main_interpreter,
		 python->main_interpreter);
	fake_put(python->config.py_runtime, layout->runtime_head_interpreter,
		 python->main_interpreter);
	ma_hook_frames_init(&python->config);
	fake_enter(0);
}

void fake_fini(struct fake_python *python)
{
	munmap(python->area, MA_AREA_SAMPLED_BYTES);
	munmap(python->memory, FAKE_MEMORY_BYTES);
}
