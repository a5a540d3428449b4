/* SPDX-License-Identifier: MIT */
/*
 * Reading the interpreter's own memory from inside: plain loads at an address plus an offset of
 * struct ma_py_layout, and the questions to ask of a pointer before it is followed. They cannot
 * tell that memory is mapped; they stop a walk over a layout that is not what we think it is.
 * Any thread; the caller knows why the object is alive.
 */
#ifndef MA_HOOK_PYTHON_MEMORY_H
#define MA_HOOK_PYTHON_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

static inline const void *ma_py_at(uint64_t address)
{
	return (const void *)(uintptr_t)address;
}

/* Can an address be read at all? Canonical, user space, not in the first page (x86-64, 47 bits). */
static inline bool ma_py_readable(uint64_t address)
{
	return address - 4096 < (UINT64_C(1) << 47) - 2 * 4096;
}

/*
 * The same for a pointer to an object or a frame, which CPython aligns to 8 bytes at least:
 * rotated, a misaligned one becomes a huge number, so that one comparison asks both questions.
 */
static inline bool ma_py_pointer(uint64_t address)
{
	return (address >> 3 | address << 61) - 4096 / 8 < ((UINT64_C(1) << 47) - 2 * 4096) / 8;
}

static inline uint64_t ma_py_word(uint64_t address, uint64_t offset)
{
	uint64_t value;

	__builtin_memcpy(&value, ma_py_at(address + offset), sizeof(value));
	return value;
}

static inline uint32_t ma_py_int(uint64_t address, uint64_t offset)
{
	uint32_t value;

	__builtin_memcpy(&value, ma_py_at(address + offset), sizeof(value));
	return value;
}

static inline uint8_t ma_py_byte(uint64_t address, uint64_t offset)
{
	return *((const uint8_t *)ma_py_at(address) + offset);
}

#endif
