/* SPDX-License-Identifier: MIT */
/*
 * The functions that a compiler may call without being asked, for struct copies and the like (GCC
 * manual, "Language Standards Supported by GCC"). String instructions use general registers only
 * and are no worse than a loop for the few dozen bytes that are copied here.
 */
#include <stddef.h>
#include <stdint.h>

#define MA_HIDDEN __attribute__((visibility("hidden"), used))

MA_HIDDEN void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
MA_HIDDEN void *memmove(void *to, const void *from, size_t bytes);
MA_HIDDEN void *memset(void *to, int byte, size_t bytes);
MA_HIDDEN int memcmp(const void *one, const void *other, size_t bytes);

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	void *end = to;

	__asm__ volatile("rep movsb" : "+D"(end), "+S"(from), "+c"(bytes) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	uint8_t *last = (uint8_t *)to + bytes;
	const uint8_t *source = (const uint8_t *)from + bytes;

	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		return memcpy(to, from, bytes);
	while (last != to) {
		*--last = *--source;
		__asm__ volatile("" : : : "memory"); /* keep this from becoming a call to itself */
	}
	return to;
}

void *memset(void *to, int byte, size_t bytes)
{
	void *end = to;

	__asm__ volatile("rep stosb" : "+D"(end), "+c"(bytes) : "a"(byte) : "memory");
	return to;
}

int memcmp(const void *one, const void *other, size_t bytes)
{
	const uint8_t *a = one;
	const uint8_t *b = other;

	for (size_t i = 0; i < bytes; i++)
		if (a[i] != b[i])
			return a[i] - b[i];
	return 0;
}
