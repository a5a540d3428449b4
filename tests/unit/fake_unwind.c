/* SPDX-License-Identifier: MIT */
/* See fake_unwind.h. */
#include "fake_unwind.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

void fake_unwind_init(struct fake_unwind *fake)
{
	int fd = memfd_create(MA_UNWIND_MEMFD, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *hook;

	*fake = (struct fake_unwind){0};
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MA_UNWIND_BYTES), 0);
	/* The target's mapping comes first, as in an attach. */
	hook = mmap(NULL, MA_UNWIND_BYTES, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	assert_true(hook != MAP_FAILED);
	assert_int_equal(ma_unwind_area_open(&fake->map, fd, NULL), 0);
	close(fd);
	fake->area = mmap(NULL, MA_AREA_SAMPLED_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(fake->area != MAP_FAILED);
	fake->words = calloc(FAKE_STACK_WORDS, sizeof *fake->words);
	fake->frames = calloc(MA_MAX_FRAMES, sizeof *fake->frames);
	assert_true(fake->words && fake->frames);
	fake->stack.start = fake_unwind_at(fake, 0);
	fake->stack.end = fake_unwind_at(fake, FAKE_STACK_WORDS);
	fake->start.thread_pointer = fake_unwind_at(fake, FAKE_STACK_WORDS - 1);
	fake->config.unwind = (uint64_t)(uintptr_t)hook;
	fake->config.unwind_bytes = MA_UNWIND_BYTES;
	ma_unwind_init(&fake->unwinder, &fake->config);
	assert_non_null(fake->unwinder.area);
}

void fake_unwind_fini(struct fake_unwind *fake)
{
	munmap((void *)(uintptr_t)fake->config.unwind, MA_UNWIND_BYTES);
	munmap(fake->area, MA_AREA_SAMPLED_BYTES);
	ma_unwind_area_close(&fake->map);
	free(fake->words);
	free(fake->frames);
}

uint64_t fake_unwind_at(const struct fake_unwind *fake, uint32_t word)
{
	return (uint64_t)(uintptr_t)&fake->words[word];
}

static uint64_t place(struct fake_unwind *fake, uint64_t bytes,
		      const struct fake_function *functions, uint32_t count)
{
	struct ma_unwind_row rows[16];
	struct ma_unwind_rule rules[16];
	uint8_t hash[MA_SHA256_BYTES] = {(uint8_t)fake->map.placed_count};
	struct ma_unwind_parts parts = {
		.pc_end = bytes,
		.rows = rows,
		.row_count = count,
		.rule = rules,
		.rule_count = count,
		.functions = count,
		.hash = hash,
	};
	struct ma_unwind_table_view view;
	uint64_t at;
	size_t size;
	void *table;

	assert_true(count <= 16);
	for (uint32_t i = 0; i < count; i++) {
		rows[i] = (struct ma_unwind_row){.pc = functions[i].pc, .rule = (uint16_t)i};
		rules[i] = functions[i].rule;
	}
	table = ma_unwind_table_make(&parts, &size);
	assert_non_null(table);
	assert_true(ma_unwind_table_open(&view, table, size));
	at = ma_unwind_area_place(&fake->map, &view);
	assert_true(at != 0);
	free(table);
	return at;
}

void fake_unwind_module(struct fake_unwind *fake, uint64_t start, uint64_t bytes, uint32_t id,
			const struct fake_function *functions, uint32_t count)
{
	assert_true(fake->module_count < FAKE_UNWIND_MODULES);
	fake->modules[fake->module_count++] = (struct ma_unwind_module){
		.start = start,
		.end = start + bytes,
		.bias = start,
		.table = count ? place(fake, bytes, functions, count) : 0,
		.id = id,
	};
}

void fake_unwind_publish(struct fake_unwind *fake)
{
	ma_unwind_area_publish(&fake->map, fake->modules, fake->module_count, &fake->stack, 1);
}

void fake_unwind_walk(struct fake_unwind *fake, uint64_t pc, uint32_t at, uint64_t rbp)
{
	fake->walk = (struct ma_walk){.frames = fake->frames, .count = fake->python_count};
	fake->start.pc = pc;
	fake->start.rsp = fake_unwind_at(fake, at);
	fake->start.rbp = rbp;
	ma_unwind_walk_from(&fake->unwinder, fake->area, &fake->walk, &fake->start);
}
