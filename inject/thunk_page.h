/* SPDX-License-Identifier: MIT */
/*
 * Finding the thunk page that an attach leaves in a process: by its memfd's name in the maps, then
 * checked by magic. Read-only; struct ma_thunk_data is in inject/hook/config.h.
 */
#ifndef MA_INJECT_THUNK_PAGE_H
#define MA_INJECT_THUNK_PAGE_H

#include <stdbool.h>

#include "inject/hook/config.h"
#include "inject/maps.h"
#include "inject/remote_memory.h"

struct ma_thunk_page {
	bool found;
	struct ma_raddr code;         /* r-x page */
	struct ma_raddr data;         /* struct ma_thunk_data */
	struct ma_thunk_data content; /* a copy; release ends with NUL */
};

/* Looks for it. *page is zeroed when there is none. A mapping with our name that does not hold the
 * magic is MA_ERR_PROTOCOL; memory that cannot be read MA_ERR_FAILED. */
int ma_thunk_page_find(const struct ma_target_memory *memory, const struct ma_maps *maps,
		       struct ma_thunk_page *page, struct ma_error *error);

#endif
