/* SPDX-License-Identifier: MIT */
#include "inject/python_tables.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "inject/hook/config.h"

enum { CHUNK_BYTES = 1 << 20 };

/* PyMemAllocatorEx (Include/cpython/pymem.h): ctx, malloc, calloc, realloc, free. */
struct table {
	uint64_t context;
	uint64_t function[4];
};

/* The address of a table whose functions are the thunks from `first` on, in these words, or 0. */
static uint64_t find(const uint64_t *words, size_t count, uint64_t address, uint64_t thunk_code,
		     int first)
{
	uint64_t thunk = thunk_code + (uint64_t)first * MA_THUNK_BYTES;

	for (size_t i = 1; i + 4 <= count; i++)
		if (words[i] == thunk && words[i + 3] == thunk + (uint64_t)3 * MA_THUNK_BYTES)
			return address + (i - 1) * sizeof(words[0]);
	return 0;
}

static void search(const struct ma_view *view, const struct ma_segment *segment, uint64_t *words,
		   struct ma_area *area)
{
	struct ma_area_ident *ident = &area->ident;
	uint64_t at = (segment->start + 7) & ~UINT64_C(7);

	while (at + sizeof(struct table) <= segment->end) {
		size_t bytes =
			segment->end - at < CHUNK_BYTES ? (size_t)(segment->end - at) : CHUNK_BYTES;
		size_t count;

		bytes = ma_memory_read_some(&view->memory, ma_raddr(at), words, bytes, NULL);
		count = bytes / sizeof(words[0]);
		if (bytes < sizeof(struct table))
			return;
		if (!ident->obj_table)
			ident->obj_table =
				find(words, count, at, ident->thunk_code, MA_FN_OBJ_MALLOC);
		if (!ident->mem_table)
			ident->mem_table =
				find(words, count, at, ident->thunk_code, MA_FN_MEM_MALLOC);
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
			search(view, &module->segment[i], words, area);
	free(words);
}
