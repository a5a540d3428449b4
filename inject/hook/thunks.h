/* SPDX-License-Identifier: MIT */
/*
 * The code half of the thunk page (config.h): thunk i is `endbr64; jmp *target[i](%rip)`, where the
 * data page follows the code page. For the injector, which writes the page into its memfd, and for
 * tests. Pure; any thread.
 */
#ifndef MA_HOOK_THUNKS_H
#define MA_HOOK_THUNKS_H

#include <stddef.h>
#include <stdint.h>

#include "inject/hook/config.h"

enum { MA_THUNK_PAGE_BYTES = 4096 };

_Static_assert(MA_FN_COUNT *MA_THUNK_BYTES <= MA_THUNK_FORK_WAIT, "the thunks fit their place");
_Static_assert(sizeof(struct ma_thunk_data) <= MA_THUNK_PAGE_BYTES, "so does their data");

/* Writes all thunks to `page`, MA_THUNK_PAGE_BYTES bytes; what is left is filled with int3. */
static inline void ma_thunk_code_fill(uint8_t *page)
{
	static const uint8_t head[] = {0xf3, 0x0f, 0x1e, 0xfa, /* endbr64 */
				       0xff, 0x25};            /* jmp *disp32(%rip) */

	for (size_t at = 0; at < MA_THUNK_PAGE_BYTES; at++)
		page[at] = 0xcc;
	for (uint32_t fn = 0; fn < MA_FN_COUNT; fn++) {
		uint32_t start = fn * MA_THUNK_BYTES;
		uint32_t end = start + (uint32_t)sizeof head + 4;
		uint32_t target = MA_THUNK_PAGE_BYTES +
				  (uint32_t)offsetof(struct ma_thunk_data, target) + fn * 8;
		uint32_t distance = target - end;

		for (uint32_t i = 0; i < sizeof head; i++)
			page[start + i] = head[i];
		for (uint32_t i = 0; i < 4; i++)
			page[end - 4 + i] = (uint8_t)(distance >> 8 * i);
	}
}

#endif
