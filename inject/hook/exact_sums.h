/* SPDX-License-Identifier: MIT */
/*
 * What changes when an allocation comes or goes in exact mode: its shadow, the sums of its site,
 * the totals and the peak. Inline, because every allocation passes here; all of it under the lock
 * of struct ma_exact. Everybody but exact.c's own functions goes through those, or comes with the
 * lock from ma_exact_try_lock.
 *
 * How the peak costs O(1): `epoch` counts new maxima of the total. A site that is touched for the
 * first time after a maximum stores its live values of then, which are those from before the touch,
 * as its values at the peak; a site that was not touched since has them in live_* still.
 */
#ifndef MA_HOOK_EXACT_SUMS_H
#define MA_HOOK_EXACT_SUMS_H

#include "inject/hook/cpu.h"
#include "inject/hook/exact.h"

#define MA_EXACT_INLINE static inline __attribute__((always_inline))

/* Takes the lock if nobody has it. */
MA_EXACT_INLINE bool ma_exact_try_lock(const struct ma_exact_heap *heap, uint32_t tid)
{
	uint32_t holder = 0;

	return __builtin_expect(__atomic_compare_exchange_n(&heap->state->lock, &holder, tid, false,
							    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED),
				1);
}

MA_EXACT_INLINE void ma_exact_unlock(const struct ma_exact_heap *heap, uint32_t tid)
{
	/* The lock may have been taken over from us. */
	if (__atomic_load_n(&heap->state->lock, __ATOMIC_RELAXED) == tid)
		__atomic_store_n(&heap->state->lock, 0, __ATOMIC_RELEASE);
}

/* Must precede each change of a site's live values. */
MA_EXACT_INLINE void ma_exact_keep_peak(const struct ma_exact *state, struct ma_exact_site *site)
{
	if (site->epoch == state->epoch)
		return;
	site->peak_bytes = site->live_bytes;
	site->peak_count = site->live_count;
	__atomic_store_n(&site->epoch, state->epoch, __ATOMIC_RELEASE);
}

MA_EXACT_INLINE void ma_exact_shrink(struct ma_exact *state, uint32_t id, uint64_t bytes)
{
	struct ma_exact_site *site = &state->sites[id % MA_SITES];

	ma_exact_keep_peak(state, site);
	ma_cpu_add(&site->live_bytes, -bytes);
	ma_cpu_add(&site->live_count, (uint64_t)-1);
	ma_cpu_add(&state->live_bytes, -bytes);
	ma_cpu_add(&state->live_count, (uint64_t)-1);
}

MA_EXACT_INLINE void ma_exact_grow(struct ma_exact *state, const struct ma_exact_block *block,
				   bool is_new)
{
	struct ma_exact_site *site = &state->sites[block->site % MA_SITES];

	ma_exact_keep_peak(state, site);
	if (is_new) {
		if (!site->allocated_count)
			site->first_ms = block->birth_ms;
		site->last_ms = block->birth_ms;
		ma_cpu_add(&site->allocated_bytes, block->size_bytes);
		ma_cpu_add(&site->allocated_count, 1);
		ma_cpu_add(&state->allocated_bytes, block->size_bytes);
		ma_cpu_add(&state->allocated_count, 1);
	}
	ma_cpu_add(&site->live_bytes, block->size_bytes);
	ma_cpu_add(&site->live_count, 1);
	ma_cpu_add(&state->live_bytes, block->size_bytes);
	ma_cpu_add(&state->live_count, 1);
	if (state->live_bytes <= state->peak_bytes)
		return;
	__atomic_store_n(&state->peak_bytes, state->live_bytes, __ATOMIC_RELAXED);
	state->peak_count = state->live_count;
	state->peak_ms = block->birth_ms;
	ma_cpu_add(&state->epoch, 1);
}

/*
 * Adds a new allocation. False, with nothing done: the lock is not free, the address is in, or the
 * size has no room in a shadow.
 */
MA_EXACT_INLINE bool ma_exact_try_add(const struct ma_exact_heap *heap, uint32_t tid,
				      struct ma_shadow *shadow, const struct ma_exact_block *block)
{
	bool is_new;

	if (block->size_bytes >= MA_SHADOW_LARGE || !ma_exact_try_lock(heap, tid))
		return false;
	is_new = !ma_shadow_site(shadow->word);
	if (__builtin_expect(is_new, 1)) {
		__atomic_store_n(&shadow->word,
				 ma_shadow_word(block->site, block->size_bytes, block->birth_ms),
				 __ATOMIC_RELEASE);
		ma_exact_grow(heap->state, block, true);
		ma_cpu_add(&heap->counters->samples, 1);
	}
	ma_exact_unlock(heap, tid);
	return is_new;
}

/* Removes what the word of this shadow says. The same. */
MA_EXACT_INLINE bool ma_exact_try_remove(const struct ma_exact_heap *heap, uint32_t tid,
					 struct ma_shadow *shadow, uint64_t word)
{
	if (ma_shadow_size(word) == MA_SHADOW_LARGE || !ma_exact_try_lock(heap, tid))
		return false;
	__atomic_store_n(&shadow->word, 0, __ATOMIC_RELEASE);
	ma_exact_shrink(heap->state, ma_shadow_site(word), ma_shadow_size(word));
	ma_cpu_add(&heap->counters->sample_frees, 1);
	ma_exact_unlock(heap, tid);
	return true;
}

#endif
