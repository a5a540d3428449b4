/* SPDX-License-Identifier: MIT */
/*
 * Which symbols of an object name an intercepted function. Undefined symbols come first in a symbol
 * table with a GNU hash, and the rest is found by hash, so that the many symbols of a large object
 * need not be looked at (the table's layout: binutils' bfd/elflink.c, glibc's elf/dl-lookup.c).
 */
#include "inject/hook/object.h"

static const char *const names[MA_FN_SYMBOLS] = MA_FN_NAMES;

static bool is_name(const struct ma_object *object, uint32_t offset, const char *name)
{
	for (uint64_t at = offset; at < object->strings_bytes; at++, name++) {
		if (object->strings[at] != *name)
			return false;
		if (!*name)
			return true;
	}
	return false;
}

static bool add(struct ma_wanted *wanted, uint32_t index, uint32_t fn)
{
	if (ma_wanted_fn(wanted, index) != MA_FN_COUNT)
		return true;
	if (wanted->count == MA_OBJECT_WANTED)
		return false;
	wanted->index[wanted->count] = index;
	wanted->fn[wanted->count++] = (uint8_t)fn;
	wanted->filter |= UINT64_C(1) << (index & 63);
	return true;
}

/* Looks at symbols 1 .. end - 1 one by one. */
static bool find_by_name(const struct ma_object *object, uint32_t end, struct ma_wanted *wanted)
{
	for (uint32_t index = 1; index < end; index++) {
		uint32_t name = object->symbols[index].st_name;

		for (uint32_t fn = 0; fn < MA_FN_SYMBOLS; fn++)
			if (is_name(object, name, names[fn]) && !add(wanted, index, fn))
				return false;
	}
	return true;
}

static uint32_t gnu_hash_of(const char *name)
{
	uint32_t hash = 5381;

	for (; *name; name++)
		hash = hash * 33 + (uint8_t)*name;
	return hash;
}

struct gnu_table {
	uint32_t buckets;
	uint32_t first; /* index of the first symbol in the table */
	uint32_t filter_words;
	const uint32_t *bucket;
	const uint32_t *chain; /* of symbol `first` */
};

static struct gnu_table gnu_table_of(const uint32_t *hash)
{
	struct gnu_table table = {.buckets = hash[0], .first = hash[1], .filter_words = hash[2]};

	table.bucket = hash + 4 + 2 * (uint64_t)table.filter_words;
	table.chain = table.bucket + table.buckets;
	return table;
}

static bool find_by_hash(const struct ma_object *object, const struct gnu_table *table, uint32_t fn,
			 struct ma_wanted *wanted)
{
	uint32_t hash = gnu_hash_of(names[fn]);
	uint32_t index = table->bucket[hash % table->buckets];

	if (index < table->first)
		return true;
	for (;; index++) {
		uint32_t link = table->chain[index - table->first];

		if ((link | 1) == (hash | 1) &&
		    is_name(object, object->symbols[index].st_name, names[fn]) &&
		    !add(wanted, index, fn))
			return false;
		if (link & 1)
			return true;
	}
}

/* One past the largest symbol index that a relocation refers to. */
static uint32_t referenced_end(const struct ma_object *object)
{
	uint64_t largest = 0;

	for (uint64_t i = 0; i < object->jump_slot_count; i++)
		if (ELF64_R_SYM(object->jump_slots[i].r_info) > largest)
			largest = ELF64_R_SYM(object->jump_slots[i].r_info);
	for (uint64_t i = 0; i < object->relocation_count; i++)
		if (ELF64_R_SYM(object->relocations[i].r_info) > largest)
			largest = ELF64_R_SYM(object->relocations[i].r_info);
	return (uint32_t)largest + 1;
}

bool ma_object_find_wanted(const struct ma_object *object, struct ma_wanted *wanted)
{
	struct gnu_table table;

	*wanted = (struct ma_wanted){0};
	if (!object->gnu_hash)
		return find_by_name(object, referenced_end(object), wanted);
	table = gnu_table_of(object->gnu_hash);
	/* A table that holds nothing does not say where the undefined symbols end. */
	if (table.buckets <= 1 && (!table.buckets || !table.bucket[0]))
		return find_by_name(object, referenced_end(object), wanted);
	if (!find_by_name(object, table.first, wanted))
		return false;
	for (uint32_t fn = 0; fn < MA_FN_SYMBOLS; fn++)
		if (!find_by_hash(object, &table, fn, wanted))
			return false;
	return true;
}
