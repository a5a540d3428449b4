/* SPDX-License-Identifier: MIT */
/*
 * The hook's native walk on a stack and by tables that may hold anything: it must end, within its
 * bounds, and read nothing but the area and the stack, both of which end where their memory does.
 *
 * The input: struct head, modules, bytes of a table, then the stack. In a stack word and in rbp an
 * address from STACK_BASE on stands for the byte of the stack that is so far in.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "inject/hook/unwind.h"

enum { MODULES = 4, TABLE_BYTES = 2048, STACK_WORDS = 512 };

#define STACK_BASE UINT64_C(0x10000000)

struct head {
	uint64_t pc, rbp;
	uint32_t module_count, stack_count;
	uint16_t rsp_word, thread_word, stack_start_word, stack_end_word;
	uint16_t main_end_word, python_frames, own_bytes;
	uint16_t current;
};

static struct ma_area *area;
static struct ma_unwind_area *unwind;
static uint64_t frames[MA_MAX_FRAMES];
static uint64_t *stack;
static struct ma_unwinder unwinder;

static void make_room(void)
{
	if (area)
		return;
	area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unwind = aligned_alloc(4096, sizeof *unwind + 2 * 4096);
	stack = malloc(STACK_WORDS * sizeof *stack);
	MUST(area != MAP_FAILED && unwind && stack);
	memset(unwind, 0, sizeof *unwind + 2 * 4096);
	unwind->magic = MA_UNWIND_MAGIC;
	unwind->version = MA_UNWIND_VERSION;
}

static uint64_t word_at(uint64_t word)
{
	return (uint64_t)(uintptr_t)(stack + word % (STACK_WORDS + 1));
}

static uint64_t translate(uint64_t word)
{
	return word - STACK_BASE < STACK_WORDS * sizeof *stack
		       ? (uint64_t)(uintptr_t)stack + (word - STACK_BASE)
		       : word;
}

static void take(void *to, size_t bytes, const uint8_t **data, size_t *size)
{
	size_t have = bytes < *size ? bytes : *size;

	memset(to, 0, bytes);
	if (have)
		memcpy(to, *data, have);
	*data += have;
	*size -= have;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ma_unwind_index *index;
	struct ma_unwind_start start;
	struct head head;

	make_room();
	take(&head, sizeof head, &data, &size);
	index = &unwind->index[(head.current + 2) % MA_UNWIND_INDEXES];
	unwind->current = head.current % (MA_UNWIND_INDEXES + 2);
	take(index->modules, MODULES * sizeof index->modules[0], &data, &size);
	take((uint8_t *)unwind + sizeof *unwind, TABLE_BYTES, &data, &size);
	take(stack, STACK_WORDS * sizeof *stack, &data, &size);
	for (int i = 0; i < STACK_WORDS; i++)
		stack[i] = translate(stack[i]);
	index->module_count = head.module_count;
	index->stack_count = head.stack_count % 2;
	index->stacks[0].start = word_at(head.stack_start_word);
	index->stacks[0].end = word_at(head.stack_end_word);
	unwinder = (struct ma_unwinder){
		.area = unwind,
		.bytes = sizeof *unwind + 2 * 4096,
		.own_start = head.pc,
		.own_end = head.pc + head.own_bytes,
		.main_stack_end = word_at(head.main_end_word),
	};
	/* What runs here stands on its stack, below its end. */
	start = (struct ma_unwind_start){
		.pc = head.pc % (UINT64_C(1) << 47),
		.rsp = word_at(head.rsp_word % STACK_WORDS),
		.rbp = translate(head.rbp),
		.thread_pointer = word_at(head.thread_word),
	};
	for (int again = 0; again < 2; again++) {
		struct ma_walk walk = {
			.frames = frames,
			.count = head.python_frames % (MA_MAX_PYTHON_FRAMES + 1),
		};
		uint32_t before = walk.count;

		ma_unwind_walk_from(&unwinder, area, &walk, &start);
		MUST(walk.count >= before && walk.count <= MA_MAX_FRAMES);
		for (uint32_t i = before; i < walk.count; i++)
			MUST(MA_FRAME_IS_NATIVE(frames[i]) && MA_FRAME_NATIVE_MODULE(frames[i]));
	}
	return 0;
}
