/* SPDX-License-Identifier: MIT */
/*
 * Code objects: which address means which record of the code log. A code object that a walk meets
 * for the first time is described (name, file, first line, line table) straight from the
 * interpreter's memory; the caller's stack keeps it alive meanwhile. Equal contents share a record,
 * so that a program that compiles the same source for ever does not fill the log. Addresses are
 * reused almost at once. Where all frees are seen, the map from address to record follows them: a
 * described address is in the filter, and its free empties the slot. Where they are not, a check in
 * the slot tells (code_check.h), and the next code object at an address takes the slot over.
 *
 * What is read are fields that CPython does not change after creation (Include/cpython/code.h,
 * unicodeobject.h, bytesobject.h), at the offsets of struct ma_py_layout.
 */
#include "inject/hook/code_check.h"
#include "inject/hook/filter.h"
#include "inject/hook/python_memory.h"
#include "inject/hook/tables.h"

struct text {
	const uint8_t *data;
	uint32_t bytes;
	uint32_t total_bytes;
	uint8_t kind;
};

/* A code object, read but not copied. */
struct description {
	struct ma_code head;
	struct text name;
	struct text filename;
	struct text lines;
};

_Static_assert(sizeof(struct ma_code) % 8 == 0, "a record's data starts on a word");

/*
 * `type` is the type of all static types, and its own type: an object whose type's type is such a
 * one is an object indeed. Tells a live code object from a surprise without knowing an address.
 */
static bool is_object(const struct ma_py_layout *layout, uint64_t object)
{
	uint64_t type, metatype, root;

	if (!ma_py_pointer(object))
		return false;
	type = ma_py_word(object, layout->object_type);
	if (!ma_py_pointer(type))
		return false;
	metatype = ma_py_word(type, layout->object_type);
	if (!ma_py_pointer(metatype))
		return false;
	root = ma_py_word(metatype, layout->object_type);
	return ma_py_pointer(root) && ma_py_word(root, layout->object_type) == root;
}

/* A str: kind, where its data is (compact or not), and at most `bound` bytes of it. */
static bool read_text(const struct ma_py_layout *layout, uint64_t object, uint32_t bound,
		      struct text *text)
{
	uint64_t length, data;
	uint32_t state, kind;

	if (!is_object(layout, object))
		return false;
	length = ma_py_word(object, layout->unicode_length);
	state = ma_py_int(object, layout->unicode_state);
	kind = state >> layout->unicode_kind_shift & 7;
	if ((kind != 1 && kind != 2 && kind != 4) || length > INT32_MAX / 4)
		return false;
	if (!(state >> layout->unicode_compact_shift & 1))
		data = ma_py_word(object, layout->unicode_compact);
	else if (state >> layout->unicode_ascii_shift & 1)
		data = object + layout->unicode_ascii;
	else
		data = object + layout->unicode_compact;
	if (!ma_py_readable(data))
		return false;
	text->data = ma_py_at(data);
	text->kind = (uint8_t)kind;
	text->total_bytes = (uint32_t)length * kind;
	text->bytes = text->total_bytes < bound ? text->total_bytes : bound / kind * kind;
	return true;
}

static bool read_lines(const struct ma_py_layout *layout, uint64_t object, struct text *text)
{
	uint64_t size;

	if (!is_object(layout, object))
		return false;
	size = ma_py_word(object, layout->bytes_size);
	if (size > INT32_MAX)
		return false;
	text->data = ma_py_at(object + layout->bytes_data);
	text->kind = 1;
	text->total_bytes = (uint32_t)size;
	text->bytes = size < MA_CODE_LINE_BYTES ? (uint32_t)size : MA_CODE_LINE_BYTES;
	return true;
}

static uint64_t hash_text(uint64_t hash, const struct text *text)
{
	uint32_t at = 0;

	hash = ma_walk_mix(hash, (uint64_t)text->kind << 32 | text->total_bytes);
	for (; at + 8 <= text->bytes; at += 8)
		hash = ma_walk_mix(hash, ma_py_word((uintptr_t)text->data, at));
	for (; at < text->bytes; at++)
		hash = ma_walk_mix(hash, text->data[at]);
	return hash;
}

static bool describe(const struct ma_py_layout *layout, uint64_t address, struct description *d)
{
	uint64_t lines = 0, hash;
	uint32_t bytes;

	if (!is_object(layout, address))
		return false;
	lines = ma_py_word(address, layout->code_linetable);
	if (!read_text(layout, ma_py_word(address, layout->code_name), MA_CODE_NAME_BYTES,
		       &d->name) ||
	    !read_text(layout, ma_py_word(address, layout->code_filename), MA_CODE_FILE_BYTES,
		       &d->filename) ||
	    !read_lines(layout, lines, &d->lines))
		return false;
	bytes = d->name.bytes + d->filename.bytes + d->lines.bytes;
	d->head = (struct ma_code){
		.address = address,
		.linetable_address = lines,
		.words = (uint32_t)(sizeof(d->head) + bytes + 7) / 8,
		.first_line = (int32_t)ma_py_int(address, layout->code_first_line),
		.linetable_total_bytes = d->lines.total_bytes,
		.linetable_bytes = d->lines.bytes,
		.name_bytes = (uint16_t)d->name.bytes,
		.filename_bytes = (uint16_t)d->filename.bytes,
		.name_kind = d->name.kind,
		.filename_kind = d->filename.kind,
		.cut = d->name.bytes < d->name.total_bytes ||
		       d->filename.bytes < d->filename.total_bytes,
	};
	hash = ma_walk_mix(bytes, (uint32_t)d->head.first_line);
	hash = hash_text(hash, &d->name);
	hash = hash_text(hash, &d->filename);
	hash = hash_text(hash, &d->lines);
	/* What was cut off may differ: then only the same table is the same. */
	if (d->lines.bytes < d->lines.total_bytes)
		hash = ma_walk_mix(hash, lines);
	d->head.hash = hash;
	return true;
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, uint32_t bytes)
{
	uint32_t at = 0;

	for (; at + 8 <= bytes; at += 8)
		if (ma_py_word((uintptr_t)a, at) != ma_py_word((uintptr_t)b, at))
			return false;
	for (; at < bytes; at++)
		if (a[at] != b[at])
			return false;
	return true;
}

/* Does record `id` of the log hold this description? */
static bool same_content(const struct ma_tables *tables, uint32_t id, const struct description *d)
{
	const uint8_t *data;
	struct ma_code head;

	if (id == 0 || id >= MA_CODE_WORDS - sizeof(head) / 8)
		return false;
	__builtin_memcpy(&head, &tables->code_log[id], sizeof(head));
	if (head.hash != d->head.hash || head.words != d->head.words ||
	    head.words > MA_CODE_WORDS - id || head.first_line != d->head.first_line ||
	    head.name_bytes != d->head.name_bytes ||
	    head.filename_bytes != d->head.filename_bytes ||
	    head.linetable_bytes != d->head.linetable_bytes ||
	    head.linetable_total_bytes != d->head.linetable_total_bytes ||
	    head.name_kind != d->head.name_kind || head.filename_kind != d->head.filename_kind ||
	    head.cut != d->head.cut)
		return false;
	data = (const uint8_t *)&tables->code_log[id] + sizeof(head);
	return same_bytes(data, d->name.data, d->name.bytes) &&
	       same_bytes(data + d->name.bytes, d->filename.data, d->filename.bytes) &&
	       same_bytes(data + d->name.bytes + d->filename.bytes, d->lines.data, d->lines.bytes);
}

/* Writes and publishes a record. The lock is held. Returns its id, 0 = no room. */
static uint32_t append(struct ma_tables *tables, const struct description *d)
{
	uint64_t id = __atomic_load_n(&tables->code_used, __ATOMIC_ACQUIRE);
	uint8_t *data;

	if (id == 0 || id > MA_CODE_WORDS || d->head.words > MA_CODE_WORDS - id)
		return 0;
	__builtin_memcpy(&tables->code_log[id], &d->head, sizeof(d->head));
	data = (uint8_t *)&tables->code_log[id] + sizeof(d->head);
	__builtin_memcpy(data, d->name.data, d->name.bytes);
	data += d->name.bytes;
	__builtin_memcpy(data, d->filename.data, d->filename.bytes);
	data += d->filename.bytes;
	__builtin_memcpy(data, d->lines.data, d->lines.bytes);
	return ma_tables_publish(&tables->code_used, id, d->head.words) ? (uint32_t)id : 0;
}

/* The record with this content, found or made. The lock is held. 0 = no room. */
static uint32_t intern(struct ma_tables *tables, const struct description *d)
{
	uint64_t at = d->head.hash / (UINT64_MAX / MA_CODE_INDEX + 1);
	uint32_t *free = NULL, id;

	for (uint32_t probe = 0; probe < MA_INDEX_PROBES && !free; probe++) {
		uint32_t *slot = &tables->code_index[(at + probe) % MA_CODE_INDEX];

		id = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
		if (!id)
			free = slot;
		else if (same_content(tables, id, d))
			return id;
	}
	id = append(tables, d);
	if (id && free)
		__atomic_store_n(free, id, __ATOMIC_RELEASE);
	return id;
}

/*
 * Enters address -> identity into the map, or changes what it says of an address that is in it;
 * true: the address was not. The lock is held, so slots are filled and emptied for good
 * here alone; a free can only turn an address into MA_CODE_REMOVED. Removed slots are used again,
 * and those just before a slot that was never used become unused as well: nothing that is looked
 * for lies behind them. So removed slots do not pile up, however many code objects come and go.
 * Where frees are not seen, code objects long gone may crowd a place: one of them gives way.
 */
static bool enter(struct ma_tables *tables, uint64_t address, uint64_t identity, bool sees_frees)
{
	uint64_t home = ma_address_hash(address) / (UINT64_MAX / MA_CODE_MAP + 1);
	uint32_t taken = MA_CODE_PROBES, end;
	struct ma_code_slot *slot;

	for (end = 0; end < MA_CODE_PROBES; end++) {
		uint64_t have;

		slot = &tables->code_map[(home + end) % MA_CODE_MAP];
		have = __atomic_load_n(&slot->address, __ATOMIC_ACQUIRE);
		if (have == address) {
			__atomic_store_n(&slot->identity, identity, __ATOMIC_RELAXED);
			return false;
		}
		if (have <= MA_CODE_REMOVED && taken == MA_CODE_PROBES)
			taken = end;
		if (!have)
			break;
	}
	if (taken == MA_CODE_PROBES && sees_frees)
		return false; /* crowded here: it is described again each time it is met */
	slot = &tables->code_map[(home + taken % MA_CODE_PROBES) % MA_CODE_MAP];
	__atomic_store_n(&slot->address, MA_CODE_REMOVED, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->identity, identity, __ATOMIC_RELAXED);
	__atomic_store_n(&slot->address, address, __ATOMIC_RELEASE);
	if (end == MA_CODE_PROBES)
		return true;
	while (end-- > taken + 1) {
		uint64_t removed = MA_CODE_REMOVED;

		slot = &tables->code_map[(home + end) % MA_CODE_MAP];
		if (!__atomic_compare_exchange_n(&slot->address, &removed, 0, false,
						 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			break;
	}
	return true;
}

uint32_t ma_codes_describe(struct ma_area *area, const struct ma_py_layout *layout,
			   const struct ma_writer *writer, uint64_t address, bool *busy)
{
	struct description description;
	bool read = describe(layout, address, &description);
	uint32_t check =
		read ? ma_code_check(layout, address) : ma_code_check_fields(layout, address);
	uint32_t id = 0;
	bool entered;

	if (!ma_tables_lock(&area->tables, writer)) {
		*busy = true;
		return 0;
	}
	if (read)
		id = intern(&area->tables, &description);
	entered = enter(&area->tables, address, (uint64_t)check << 32 | id, writer->sees_frees);
	ma_tables_unlock(&area->tables, writer->owner);
	if (entered && writer->sees_frees)
		ma_filter_add(area, address);
	return id;
}

bool ma_codes_remove(struct ma_tables *tables, uint64_t address)
{
	uint64_t home = ma_address_hash(address) / (UINT64_MAX / MA_CODE_MAP + 1);

	if (address <= MA_CODE_REMOVED)
		return false;
	for (uint32_t probe = 0; probe < MA_CODE_PROBES; probe++) {
		struct ma_code_slot *slot = &tables->code_map[(home + probe) % MA_CODE_MAP];
		uint64_t have = __atomic_load_n(&slot->address, __ATOMIC_ACQUIRE);

		if (!have)
			return false;
		if (have == address)
			return __atomic_compare_exchange_n(&slot->address, &have, MA_CODE_REMOVED,
							   false, __ATOMIC_RELEASE,
							   __ATOMIC_RELAXED);
	}
	return false;
}
