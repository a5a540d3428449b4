/* SPDX-License-Identifier: MIT */
/*
 * Is the code object at an address still the one that was described? Addresses are reused almost at
 * once, and where frees of small blocks are not seen (promote.h), nobody tells. So the map keeps a
 * check beside each id: half of it from the fields of the code object itself, half from what they
 * point to, because strings and line tables are given out anew at the same addresses too. Only
 * where the first half is right is the second looked at: only then are those addresses known to be
 * such. Of all this CPython changes nothing after creation, but that a str learns its hash.
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

/* The first half, in the high bits: type, name, file, line table and first line. */
static inline uint32_t ma_code_check_fields(const struct ma_py_layout *layout, uint64_t code)
{
	uint64_t hash = ma_py_word(code, layout->object_type);

	hash = ma_walk_mix(hash, ma_py_word(code, layout->code_name));
	hash = ma_walk_mix(hash, ma_py_word(code, layout->code_filename));
	hash = ma_walk_mix(hash, ma_py_word(code, layout->code_linetable));
	hash = ma_walk_mix(hash, ma_py_int(code, layout->code_first_line));
	return (uint32_t)(hash >> 32) & ~UINT32_C(0) << MA_CODE_CHECK_HALF_BITS;
}

/* Up to 8 bytes of `size`, from `at` on. */
static inline uint64_t ma_code_check_bytes(uint64_t data, uint64_t at, uint64_t size)
{
	uint64_t bytes = 0;

	if (size - at >= sizeof(bytes))
		return ma_py_word(data, at);
	for (uint64_t i = at; i < size; i++)
		bytes = bytes << 8 | ma_py_byte(data, i);
	return bytes;
}

/* Bytes: how many they are, and how they begin, go on and end. */
static inline uint64_t ma_code_check_data(uint64_t hash, uint64_t data, uint64_t size)
{
	uint64_t last = size > sizeof(uint64_t) ? size - sizeof(uint64_t) : 0;

	hash = ma_walk_mix(hash, size);
	hash = ma_walk_mix(hash, ma_code_check_bytes(data, 0, size));
	if (!last)
		return hash;
	hash = ma_walk_mix(hash, ma_code_check_bytes(data, last / 2, size));
	return ma_walk_mix(hash, ma_code_check_bytes(data, last, size));
}

/*
 * A str: its length and the hash that it keeps of itself, the word behind the length (-1 = not
 * asked for yet, Include/cpython/unicodeobject.h); and of an ordinary one the characters.
 */
static inline uint64_t ma_code_check_text(uint64_t hash, const struct ma_py_layout *layout,
					  uint64_t text)
{
	uint64_t length = ma_py_word(text, layout->unicode_length);
	uint32_t state = ma_py_int(text, layout->unicode_state);

	hash = ma_walk_mix(hash, ma_py_word(text, layout->unicode_length + sizeof(length)));
	if (state >> layout->unicode_compact_shift & state >> layout->unicode_ascii_shift & 1)
		return ma_code_check_data(hash, text + layout->unicode_ascii, length);
	return ma_walk_mix(hash, length);
}

/* The second half, in the low bits: name, file and line table themselves. */
static inline uint32_t ma_code_check_contents(const struct ma_py_layout *layout, uint64_t code)
{
	uint64_t lines = ma_py_word(code, layout->code_linetable);
	uint64_t hash = ma_code_check_data(0, lines + layout->bytes_data,
					   ma_py_word(lines, layout->bytes_size));

	hash = ma_code_check_text(hash, layout, ma_py_word(code, layout->code_name));
	hash = ma_code_check_text(hash, layout, ma_py_word(code, layout->code_filename));
	return (uint32_t)(hash >> 32) & ((1u << MA_CODE_CHECK_HALF_BITS) - 1);
}

/* The whole of it, for a code object that was described: its strings are strings, its line table
 * bytes. */
static inline uint32_t ma_code_check(const struct ma_py_layout *layout, uint64_t code)
{
	return ma_code_check_fields(layout, code) | ma_code_check_contents(layout, code);
}

/* Does what the map knows of this address still hold? The id in it is not MA_CODE_UNSEEN; id 0 is
 * that of what could not be described, whose line table is nothing to look at. */
static inline bool ma_code_check_holds(const struct ma_py_layout *layout, uint64_t code,
				       uint64_t identity)
{
	uint32_t check = (uint32_t)(identity >> 32);

	if ((check ^ ma_code_check_fields(layout, code)) >> MA_CODE_CHECK_HALF_BITS)
		return false;
	return !(uint32_t)identity || !((check ^ ma_code_check_contents(layout, code)) &
					((1u << MA_CODE_CHECK_HALF_BITS) - 1));
}

#endif
