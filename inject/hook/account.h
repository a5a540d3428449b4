/* SPDX-License-Identifier: MIT */
/*
 * The fast paths that all entry points share: one comparison and one subtraction on thread-local
 * memory for an allocation, one word of the filter for a free. Each is written once for all
 * modes; `mode` is a constant where it is used, so that an entry point holds the code of its mode
 * only. Which entry points the thunks lead to is decided at the start (install.c).
 */
#ifndef MA_HOOK_ACCOUNT_H
#define MA_HOOK_ACCOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inject/hook/filter.h"
#include "inject/hook/record.h"
#include "inject/hook/size_rates.h"
#include "inject/hook/state.h"
#include "inject/hook/tls.h"

#define MA_INLINE static inline __attribute__((always_inline))

/*
 * A block was handed out for a request of `bytes`; NULL: the request failed. Returns block. domain:
 * as ma_record_sampled takes it.
 */
MA_INLINE void *ma_account(enum ma_mode mode, void *block, size_t bytes, uint32_t domain)
{
	uint64_t cost = ma_cost_of(mode, ma_counted_bytes(bytes));
	struct ma_tls *tls;
	uint64_t left;

	if (mode == MA_MODE_EXACT)
		return ma_record_exact(block, bytes, (enum ma_domain)domain);
	tls = ma_tls();
	left = tls->left;
	/* A failed request is not looked for here: what it takes away is exponential afterwards. */
	if (__builtin_expect(left < cost, 0))
		return ma_record_sampled(block, bytes, domain);
	tls->left = left - cost;
	return block;
}

/*
 * May a request for `bytes` pass without a record? If so it is counted, before it is made: a
 * function that has no more to do afterwards can jump to the next one. If not, nothing is, and the
 * request is to be made and then accounted for.
 */
MA_INLINE bool ma_account_passes(enum ma_mode mode, size_t bytes)
{
	uint64_t cost = ma_cost_of(mode, ma_counted_bytes(bytes));
	struct ma_tls *tls;
	uint64_t left;

	if (mode == MA_MODE_EXACT)
		return false;
	tls = ma_tls();
	left = tls->left;
	if (__builtin_expect(left < cost, 0))
		return false;
	tls->left = left - cost;
	return true;
}

/* May this block be freed without a record? */
MA_INLINE bool ma_account_free_passes(enum ma_mode mode, const void *block)
{
	return mode != MA_MODE_EXACT &&
	       __builtin_expect(!ma_filter_may_hold(ma_hook.area, (uint64_t)(uintptr_t)block), 1);
}

/* The block is about to be freed. Returns block. */
MA_INLINE void *ma_account_free(enum ma_mode mode, void *block)
{
	if (mode == MA_MODE_EXACT)
		return ma_record_free_exact(block);
	if (__builtin_expect(ma_filter_may_hold(ma_hook.area, (uint64_t)(uintptr_t)block), 0))
		return ma_record_free_sampled(block);
	return block;
}

/* The block may be about to be moved or freed by a reallocation: see ma_record_take_sampled. */
MA_INLINE bool ma_account_take(enum ma_mode mode, void *block, uint32_t layers,
			       struct ma_taken *taken)
{
	if (mode == MA_MODE_EXACT)
		return ma_record_take_exact(block, layers, taken);
	if (__builtin_expect(ma_filter_may_hold(ma_hook.area, (uint64_t)(uintptr_t)block), 0))
		return ma_record_take_sampled(block, layers, taken);
	return false;
}

/* How the reallocation of a taken block ended. */
MA_INLINE void ma_account_moved(bool moved, const void *block, const struct ma_taken *taken)
{
	if (moved)
		ma_record_gone(block, taken);
	else
		ma_record_back(block, taken);
}

#endif
