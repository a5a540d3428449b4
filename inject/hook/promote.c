/* SPDX-License-Identifier: MIT */
/* See promote.h. */
#include "inject/hook/promote.h"

#include "inject/hook/entries.h"
#include "inject/hook/size_rates.h"

void *ma_promote(struct ma_tls *tls, void *block, size_t bytes, enum ma_domain domain, bool *seen)
{
	enum ma_fn fn = domain == MA_DOMAIN_OBJECT ? MA_FN_OBJ_REALLOC : MA_FN_MEM_REALLOC;
	uint64_t large = ma_hook.small_limit + 1;
	void *moved, *cut;

	*seen = false;
	tls->served = 0;
	/* The malloc below is this block's, and was drawn already. */
	tls->left = ma_cost_of((enum ma_mode)ma_hook.mode, large);
	moved = MA_NEXT(fn, ma_fn_py_realloc)(NULL, block, large);
	tls->left = 0;
	if (!moved)
		return block;
	if (tls->served != (uint64_t)(uintptr_t)moved)
		return moved;
	*seen = true;
	cut = MA_NEXT(MA_FN_REALLOC, ma_fn_realloc)(moved, bytes);
	return cut ? cut : moved;
}
