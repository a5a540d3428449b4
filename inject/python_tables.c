/* SPDX-License-Identifier: MIT */
#include "inject/python_tables.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "inject/hook/config.h"

enum { CHUNK_BYTES = 1 << 16 };

/* PyMemAllocatorEx (Include/cpython/pymem.h): ctx, malloc, calloc, realloc, free. */
struct table {
	uint64_t context;
	uint64_t function[4];
};

/* Frees may be left to the interpreter (inject/hook/promote.h). */
static bool is_table(const uint64_t *functions, uint64_t thunk)
{
	for (uint64_t i = 0; i < 3; i++)
		if (functions[i] != thunk + i * MA_THUNK_BYTES)
			return false;
	return true;
}

/* Looks for both tables in these words of the target's memory at `address`. */
static void find(const uint64_t *words, size_t count, uint64_t address, struct ma_area_ident *ident)
{
	uint64_t object = ident->thunk_code + (uint64_t)MA_FN_OBJ_MALLOC * MA_THUNK_BYTES;
	uint64_t mem = ident->thunk_code + (uint64_t)MA_FN_MEM_MALLOC * MA_THUNK_BYTES;

	for (size_t i = 1; i + 4 <= count; i++) {
		uint64_t table = address + (i - 1) * sizeof(words[0]);

		if (words[i] - object > mem - object)
			continue;
		if (is_table(words + i, object)) {
			ident->obj_table = table;
			ident->python_frees = words[i + 3] == object + 3 * MA_THUNK_BYTES;
		}
		if (is_table(words + i, mem))
			ident->mem_table = table;
	}
}

static void search(const struct ma_view *view, const struct ma_segment *segment, uint64_t *words,
		   struct ma_area_ident *ident)
{
	uint64_t at = (segment->start + 7) & ~UINT64_C(7);

	while (at + sizeof(struct table) <= segment->end &&
	       !(ident->obj_table && ident->mem_table)) {
		size_t bytes =
			segment->end - at < CHUNK_BYTES ? (size_t)(segment->end - at) : CHUNK_BYTES;

		bytes = ma_memory_read_some(&view->memory, ma_raddr(at), words, bytes, NULL);
		if (bytes < sizeof(struct table))
			return;
		find(words, bytes / sizeof(words[0]), at, ident);
		/* A table may lie across two chunks. */
		at += (bytes & ~(size_t)7) - sizeof(struct table) + sizeof(words[0]);
	}
}

void ma_python_tables_locate(const struct ma_view *view, struct ma_area *area)
{
	const struct ma_module *module = &view->link_map.object[view->interpreter.object].module;
	uint64_t *words = malloc(CHUNK_BYTES);

	for (int i = 0; words && i < module->segment_count; i++)
		if (module->segment[i].protection & PROT_WRITE)
			search(view, &module->segment[i], words, &area->ident);
	free(words);
}
