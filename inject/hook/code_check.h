/* SPDX-License-Identifier: MIT */
/*
 * Is the code object at an address still the one that was described? Addresses are reused almost at
 * once, and where frees of small blocks are not seen (promote.h), nobody tells. So the map keeps a
 * check beside each id: half of it from the fields of the code object itself, half from its line
 * table. Only where the first half is right is the line table looked at, because only then is its
 * address known to be one. Fields that CPython does not change after creation, as in codes.c.
 *
 * Any thread of the target; the caller's stack keeps the code object alive.
 */
#ifndef MA_HOOK_CODE_CHECK_H
#define MA_HOOK_CODE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/hook/python_memory.h"
#include "inject/hook/tables.h"

enum { MA_CODE_CHECK_HALF_BITS = 16 };

/* The first half, in the high bits: type, name, file, line table and first line of a code object.
 */
static inline uint32_t ma_code_check_fields(const struct ma_py_layout *layout, uint64_t code)
{
	uint64_t hash = ma_py_word(code, layout->object_type);

	hash = ma_walk_mix(hash, ma_py_word(code, layout->code_name));
	hash = ma_walk_mix(hash, ma_py_word(code, layout->code_filename));
	hash = ma_walk_mix(hash, ma_py_word(code, layout->code_linetable));
	hash = ma_walk_mix(hash, ma_py_int(code, layout->code_first_line));
	return (uint32_t)(hash >> 32) & ~UINT32_C(0) << MA_CODE_CHECK_HALF_BITS;
}

/* Up to 8 bytes of a line table, from `at` on. */
static inline uint64_t ma_code_check_bytes(uint64_t data, uint64_t at, uint64_t size)
{
	uint64_t bytes = 0;

	if (size - at >= sizeof(bytes))
		return ma_py_word(data, at);
	for (uint64_t i = at; i < size; i++)
		bytes = bytes << 8 | ma_py_byte(data, i);
	return bytes;
}

/* The second half: how long the line table is, and how it begins, goes on and ends. */
static inline uint32_t ma_code_check_lines(const struct ma_py_layout *layout, uint64_t code)
{
	uint64_t lines = ma_py_word(code, layout->code_linetable);
	uint64_t size = ma_py_word(lines, layout->bytes_size);
	uint64_t data = lines + layout->bytes_data;
	uint64_t last = size > sizeof(uint64_t) ? size - sizeof(uint64_t) : 0;
	uint64_t hash = ma_walk_mix(size, ma_code_check_bytes(data, 0, size));

	if (last) {
		hash = ma_walk_mix(hash, ma_code_check_bytes(data, last / 2, size));
		hash = ma_walk_mix(hash, ma_code_check_bytes(data, last, size));
	}
	return (uint32_t)hash & ((1u << MA_CODE_CHECK_HALF_BITS) - 1);
}

/* The whole of it, for a code object whose line table is known to be an object of bytes. */
static inline uint32_t ma_code_check(const struct ma_py_layout *layout, uint64_t code)
{
	return ma_code_check_fields(layout, code) | ma_code_check_lines(layout, code);
}

/* Does what the map knows of this address still hold? The id in it is not MA_CODE_UNSEEN; id 0 is
 * that of what could not be described, whose line table is nothing to look at. */
static inline bool ma_code_check_holds(const struct ma_py_layout *layout, uint64_t code,
				       uint64_t identity)
{
	uint32_t check = (uint32_t)(identity >> 32);

	if ((check ^ ma_code_check_fields(layout, code)) >> MA_CODE_CHECK_HALF_BITS)
		return false;
	return !(uint32_t)identity || !((check ^ ma_code_check_lines(layout, code)) &
					((1u << MA_CODE_CHECK_HALF_BITS) - 1));
}

#endif
