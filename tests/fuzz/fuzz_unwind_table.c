/* SPDX-License-Identifier: MIT */
/*
 * What unwind tables are made of, and where they come from. The first byte of an input says what
 * the rest is: an ELF file that is compiled (libdw included, which in the daemon runs in a child),
 * a table as the cache or that child hands it over, or a text of /proc/PID/maps.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "daemon/unwind_compile.h"
#include "daemon/unwind_maps.h"
#include "daemon/unwind_source.h"
#include "daemon/unwind_table.h"
#include "fuzz.h"

/* Whatever was taken for a table answers every question, and from within itself. */
static void use_table(const struct ma_unwind_table_view *view)
{
	const struct ma_unwind_table_head *head = view->head;
	uint64_t span = head->pc_end - head->pc_first, step = span / 97 + 1;
	MUST(!ma_unwind_table_find(view, head->pc_first - 1));
	MUST(!ma_unwind_table_find(view, head->pc_end));
	for (uint64_t at = 0; at < span; at += step) {
		const struct ma_unwind_rule *rule = ma_unwind_table_find(view, head->pc_first + at);
		MUST(rule >= view->rule && rule < view->rule + head->rule_count);
		MUST(rule->cfa <= MA_CFA_UNSUPPORTED);
	}
}

static void fuzz_table(const uint8_t *data, size_t size)
{
	struct ma_unwind_table_view view;
	uint64_t *table = calloc(1, size + sizeof *table);
	struct ma_unwind_table_head *head = (struct ma_unwind_table_head *)(void *)table;
	const size_t from = offsetof(struct ma_unwind_table_head, crc32) + sizeof head->crc32;
	MUST(table);
	memcpy(table, data, size);
	/* What a checksum keeps out is not what is looked for. */
	if (size >= sizeof *head) {
		head->magic = MA_UNWIND_TABLE_MAGIC;
		head->version = MA_UNWIND_COMPILER_VERSION;
		head->bytes = size;
		head->crc32 = (uint32_t)crc32_z(0, (const uint8_t *)table + from, size - from);
	}
	if (ma_unwind_table_open(&view, table, size))
		use_table(&view);
	free(table);
}

static void fuzz_file(const uint8_t *data, size_t size)
{
	struct ma_unwind_source source;
	struct ma_unwind_table_view view;
	struct ma_error error = {0};
	void *table = NULL;
	size_t bytes = 0;
	uint64_t bias;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	int code = ma_unwind_source_read(&source, fd, &error);
	if (code == 0) {
		ma_unwind_source_bias(&source, 0x1000, 0, &bias);
		code = ma_unwind_compile(&source, &table, &bytes, &error);
	}
	MUST(code == 0 ? table != NULL : table == NULL && error.code == code);
	if (table) {
		MUST(ma_unwind_table_open(&view, table, bytes));
		MUST(memcmp(view.head->hash, source.hash, MA_SHA256_BYTES) == 0);
		use_table(&view);
	}
	free(table);
	ma_unwind_source_fini(&source);
	close(fd);
}

static void fuzz_maps(const uint8_t *data, size_t size)
{
	const struct ma_unwind_maps_hints hints = {.interpreter_base = 0x400000,
						   .stack = 0x7f0000912340};
	struct ma_unwind_maps maps = {0};
	char *text = malloc(size + 1);
	MUST(text);
	memcpy(text, data, size);
	text[size] = 0;
	MUST(ma_unwind_maps_parse(&maps, text, &hints));
	for (uint32_t i = 0; i < maps.mapped_count; i++) {
		const struct ma_unwind_mapped *mapped = &maps.mapped[i];
		MUST(mapped->start < mapped->end && (!i || mapped->start >= mapped[-1].end));
		MUST(mapped->head <= mapped->start && strlen(mapped->path) < size);
	}
	for (uint32_t i = 0; i < maps.stack_count; i++) {
		const struct ma_unwind_stack *stack = &maps.stacks[i];
		MUST(stack->start < stack->end && (!i || stack->start >= stack[-1].end));
	}
	ma_unwind_maps_fini(&maps);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const kinds[])(const uint8_t *, size_t) = {fuzz_file, fuzz_table, fuzz_maps};
	if (size)
		kinds[data[0] % 3](data + 1, size - 1);
	return 0;
}
