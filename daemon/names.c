/* SPDX-License-Identifier: MIT */
/* See names.h. */
#include "daemon/names.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "proto/linetable.h"
#include "daemon/text.h"
#include "proto/area_check.h"

enum {
	SCRATCH_BYTES = 512 << 10, /* largest code record that is read */
	NAME_BYTES = 4096,         /* longest name that is kept, decoded */
	MAX_LINES = 1 << 20,       /* lines remembered; beyond, they are decoded each time */
	MAX_LONG_TABLES = 4096,
	MAX_LONG_BYTES = 4 << 20,  /* one table */
	MAX_LONG_TOTAL = 32 << 20, /* all of them */
	LOOKS_PER_CALL = 4096,
	CODE_OBJECT_BYTES = 256, /* of a PyCodeObject hold the pointer to its line table */
	BYTES_HEADER = 32,       /* PyBytesObject: the data follow 32 bytes of header */
};

struct ma_long_table {
	uint8_t *bytes;
	uint32_t count;
};

int ma_names_init(struct ma_names *names, const struct ma_tables *tables, uint32_t python_version)
{
	*names = (struct ma_names){.tables = tables,
				   .python_version = python_version,
				   .looked_at = 1,
				   .scratch = malloc(SCRATCH_BYTES)};
	return names->scratch ? 0 : -1;
}

void ma_names_fini(struct ma_names *names)
{
	for (uint32_t i = 0; i < names->entry_count; i++) {
		free((char *)names->entries[i].function);
		free((char *)names->entries[i].file);
	}
	for (uint32_t i = 0; i < names->long_count; i++)
		free(names->long_tables[i].bytes);
	free(names->long_tables);
	free(names->entries);
	free(names->scratch);
	ma_idmap_fini(&names->codes);
	ma_idmap_fini(&names->lines);
	ma_idmap_fini(&names->long_index);
	*names = (struct ma_names){0};
}

/* Copies a code record into the scratch buffer. NULL: malformed. */
static const struct ma_code *code_of(struct ma_names *names, uint32_t code_id)
{
	if (ma_code_copy(names->tables, code_id, names->scratch, SCRATCH_BYTES) < 0)
		return NULL;
	return (const struct ma_code *)(const void *)names->scratch;
}

static char *decode(int kind, const uint8_t *data, size_t bytes, bool cut)
{
	char text[NAME_BYTES];
	size_t length = ma_text_from_unicode(text, sizeof text - 4, kind, data, bytes);
	if (cut) {
		memcpy(text + length, "...", 4);
		length += 3;
	}
	char *copy = malloc(length + 1);
	if (copy)
		memcpy(copy, text, length + 1);
	return copy;
}

static bool make_room(struct ma_names *names)
{
	if (names->entry_count < names->entry_room)
		return true;
	uint32_t room = names->entry_room ? names->entry_room * 2 : 256;
	struct ma_code_name *entries = realloc(names->entries, room * sizeof *entries);
	if (!entries)
		return false;
	names->entries = entries;
	names->entry_room = room;
	return true;
}

const struct ma_code_name *ma_names_code(struct ma_names *names, uint32_t code_id)
{
	uint32_t at = ma_idmap_find(&names->codes, code_id);
	if (at != MA_IDMAP_NONE)
		return &names->entries[at];
	const struct ma_code *code = code_of(names, code_id);
	if (!code || !make_room(names))
		return NULL;
	const uint8_t *data = names->scratch + sizeof *code;
	/* The record does not say which of the two was cut; names are what is cut in practice. */
	struct ma_code_name entry = {
		.function = decode(code->name_kind, data, code->name_bytes, code->cut),
		.file = decode(code->filename_kind, data + code->name_bytes, code->filename_bytes,
			       false),
		.first_line = code->first_line,
	};
	if (!entry.function || !entry.file ||
	    !ma_idmap_add(&names->codes, code_id, names->entry_count)) {
		free((char *)entry.function);
		free((char *)entry.file);
		return NULL;
	}
	names->entries[names->entry_count] = entry;
	return &names->entries[names->entry_count++];
}

static int32_t decode_line(struct ma_names *names, uint64_t frame)
{
	const struct ma_code *code = code_of(names, MA_FRAME_CODE(frame));
	if (!code)
		return 0;
	const uint8_t *table =
		names->scratch + sizeof *code + code->name_bytes + code->filename_bytes;
	uint32_t bytes = code->linetable_bytes;
	uint32_t at = ma_idmap_find(&names->long_index, MA_FRAME_CODE(frame));
	if (at != MA_IDMAP_NONE) {
		table = names->long_tables[at].bytes;
		bytes = names->long_tables[at].count;
	}
	int line = ma_linetable_line(names->python_version, code->first_line, table, bytes,
				     MA_FRAME_OFFSET(frame));
	return line > 0 ? line : code->first_line;
}

int32_t ma_names_line(struct ma_names *names, uint64_t frame)
{
	uint32_t known = ma_idmap_find(&names->lines, frame);
	if (known != MA_IDMAP_NONE)
		return (int32_t)known;
	int32_t line = decode_line(names, frame);
	if (line < 0)
		line = 0;
	/* Until its long table was looked for, a line may still become better known. */
	if (MA_FRAME_CODE(frame) < names->looked_at && names->lines.used < MAX_LINES)
		ma_idmap_add(&names->lines, frame, (uint32_t)line);
	return line;
}

/* Does the code object in the target still point to this line table? Its layout differs by version,
 * so any word of its head may be the pointer: to the bytes object, or to the data in it. */
static bool still_points(const uint8_t head[CODE_OBJECT_BYTES], uint64_t table_address)
{
	for (size_t i = 0; i + sizeof(uint64_t) <= CODE_OBJECT_BYTES; i += sizeof(uint64_t)) {
		uint64_t word;
		memcpy(&word, head + i, sizeof word);
		if (word == table_address || word == table_address - BYTES_HEADER)
			return true;
	}
	return false;
}

/* Reads the whole table and compares its beginning with what the hook stored. */
static bool read_table(const struct ma_code *code, const uint8_t *stored, uint8_t *table,
		       ma_read_memory *read, void *context)
{
	static const uint64_t headers[] = {0, BYTES_HEADER};
	for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
		if (read(context, code->linetable_address + headers[i], table,
			 code->linetable_total_bytes) == 0 &&
		    memcmp(table, stored, code->linetable_bytes) == 0)
			return true;
	}
	return false;
}

static void fetch_table(struct ma_names *names, uint32_t code_id, const struct ma_code *code,
			ma_read_memory *read, void *context)
{
	uint32_t count = code->linetable_total_bytes;
	if (count > MAX_LONG_BYTES || names->long_bytes + count > MAX_LONG_TOTAL ||
	    names->long_count == MAX_LONG_TABLES || code->linetable_bytes == 0)
		return;
	uint8_t head[CODE_OBJECT_BYTES];
	if (read(context, code->address, head, sizeof head) != 0 ||
	    !still_points(head, code->linetable_address))
		return;
	struct ma_long_table *tables =
		realloc(names->long_tables, (names->long_count + 1) * sizeof *tables);
	if (!tables)
		return;
	names->long_tables = tables;
	uint8_t *bytes = malloc(count);
	const uint8_t *stored =
		names->scratch + sizeof *code + code->name_bytes + code->filename_bytes;
	if (!bytes || !read_table(code, stored, bytes, read, context) ||
	    !ma_idmap_add(&names->long_index, code_id, names->long_count)) {
		free(bytes);
		return;
	}
	tables[names->long_count++] = (struct ma_long_table){.bytes = bytes, .count = count};
	names->long_bytes += count;
}

void ma_names_fetch_tables(struct ma_names *names, ma_read_memory *read, void *context)
{
	uint64_t used = __atomic_load_n(&names->tables->code_used, __ATOMIC_ACQUIRE);
	for (int i = 0; i < LOOKS_PER_CALL && names->looked_at < used; i++) {
		const struct ma_code *code = code_of(names, names->looked_at);
		uint32_t code_id = names->looked_at;
		if (!code || code->words == 0) {
			/* Not a record: nothing after it can be found either. */
			names->looked_at = UINT32_MAX;
			return;
		}
		uint32_t words = code->words;
		if (code->linetable_total_bytes > code->linetable_bytes)
			fetch_table(names, code_id, code, read, context);
		names->looked_at += words;
	}
}

int ma_names_read_process(void *context, uint64_t address, void *buffer, size_t bytes)
{
	const pid_t *pid = context;
	struct iovec local = {.iov_base = buffer, .iov_len = bytes};
	struct iovec remote = {.iov_base = (void *)(uintptr_t)address, .iov_len = bytes};
	return process_vm_readv(*pid, &local, 1, &remote, 1, 0) == (ssize_t)bytes ? 0 : -1;
}
