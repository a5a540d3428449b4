/* SPDX-License-Identifier: MIT */
/*
 * Exact mode's paths: every allocation is given a site and entered into the shadow. Between looks
 * at lease and switch, one each MA_RECHECK_BYTES, the thread's `interval` says whether it records.
 *
 * An allocation and a free have a plain way each, for where all is as it mostly is: nothing else of
 * the thread at work, the lock free, the shadow there. It leaves as soon as something is not so,
 * before anything was changed, and the whole way is gone from its beginning.
 */
#include "inject/hook/record.h"

#include "inject/hook/exact_sums.h"
#include "inject/hook/filter.h"
#include "inject/hook/gate.h"
#include "inject/hook/ring.h"
#include "inject/hook/site.h"
#include "inject/hook/tables.h"

enum {
	TIMED_EVERY = 64, /* one visit in so many is timed, and counts for all of them */
	LINE_BYTES = 64,
	CLAIM_ROUNDS = 1 << 22, /* a second and more: threads that wait for the tables have rings */
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Counts a visit; false for the one that is to be timed. */
ALWAYS_INLINE bool is_untimed(void)
{
	uint8_t untimed = ma_tls()->untimed;

	ma_tls()->untimed = (uint8_t)((untimed + 1) % TIMED_EVERY);
	return untimed != 0;
}

/* A visit that is timed all the way, and does not count itself meanwhile. */
static uint64_t begin_timed(void)
{
	ma_tls()->untimed = TIMED_EVERY;
	return ma_cpu_ticks();
}

static void end_timed(uint64_t ticks)
{
	/* One timed visit stands for all: move its beginning back by what the others take. */
	ma_gate_count(ticks - (ma_cpu_ticks() - ticks) * (TIMED_EVERY - 1));
}

static struct ma_exact_caller caller_of(const struct ma_visit *visit)
{
	return (struct ma_exact_caller){.tid = visit->tid, .nested = visit->nested};
}

/* Does this thread record now? */
ALWAYS_INLINE bool is_recording(struct ma_tls *tls, uint64_t bytes)
{
	if (tls->left < bytes) {
		tls->left = MA_RECHECK_BYTES;
		tls->interval = ma_gate_wanted();
	} else {
		tls->left -= bytes;
	}
	return tls->interval;
}

/* Waits until other threads are through. NULL: they never will be. */
static struct ma_ring *claim_ring(uint32_t tid, uint8_t slot, bool left_behind)
{
	struct ma_ring *ring = NULL;

	for (uint32_t round = 0; round < CLAIM_ROUNDS && !ring; round++)
		ring = ma_ring_claim(ma_hook.area, tid, slot, left_behind);
	return ring;
}

/* By value, so that the visit of an allocation at a known site stays in registers. */
static __attribute__((cold, noinline)) uint32_t learn_site(uint32_t tid, uint8_t slot,
							   bool left_behind, enum ma_domain domain)
{
	struct ma_ring *ring = claim_ring(tid, slot, left_behind);
	uint32_t site = 0;

	if (!ring)
		return 0;
	site = ma_hook_site_learn(ring->frames, (uint8_t)domain, slot);
	ma_ring_release(ring, tid);
	return site;
}

ALWAYS_INLINE uint32_t site_now(const struct ma_visit *visit, enum ma_domain domain)
{
	uint8_t slot = visit->tls->slot;
	uint32_t site = ma_hook_site_known((uint8_t)domain, slot);

	if (__builtin_expect(site != 0, 1))
		return site;
	return learn_site(visit->tid, slot, visit->left_behind, domain);
}

static __attribute__((noinline)) void *record_whole(void *block, size_t bytes,
						    enum ma_domain domain)
{
	struct ma_exact_block made = {.size_bytes = ma_counted_bytes(bytes)};
	uint64_t address = (uint64_t)(uintptr_t)block;
	struct ma_shadow *shadow;
	struct ma_visit visit;
	bool entered = true;

	if (!ma_gate_begin(&visit, false))
		return block;
	shadow = ma_exact_shadow(&ma_hook.exact, address);
	if (__builtin_expect(visit.nested, 0)) {
		entered = !ma_tls_is_shared(visit.tls);
	} else if (is_recording(visit.tls, made.size_bytes)) {
		made.site = site_now(&visit, domain);
		made.birth_ms = ma_clock_ms();
		entered = made.site && ma_exact_enter_at(&ma_hook.exact, caller_of(&visit), address,
							 shadow, made);
	}
	if (!entered)
		ma_counter_add(&ma_hook.area->counters.dropped_allocs, 1);
	ma_gate_end(&visit);
	return block;
}

static __attribute__((noinline)) void *record_timed(void *block, size_t bytes,
						    enum ma_domain domain)
{
	uint64_t ticks = begin_timed();

	ma_record_exact(block, bytes, domain);
	end_timed(ticks);
	return block;
}

/* Enters where that is more than a few additions: the lock is taken, or the shadow not as usual. */
static __attribute__((noinline)) void enter_anyhow(const struct ma_tls *tls, const void *block,
						   struct ma_shadow *shadow,
						   struct ma_exact_block made)
{
	struct ma_exact_caller caller = {.tid = tls->tid};

	if (!ma_exact_enter_at(&ma_hook.exact, caller, (uint64_t)(uintptr_t)block, shadow, made))
		ma_counter_add(&ma_hook.area->counters.dropped_allocs, 1);
}

void *ma_record_exact(void *block, size_t bytes, enum ma_domain domain)
{
	struct ma_exact_block made = {.size_bytes = ma_counted_bytes(bytes)};
	struct ma_shadow *shadow;
	struct ma_tls *tls;

	if (!block || !ma_gate_on())
		return block;
	if (__builtin_expect(!is_untimed(), 0))
		return record_timed(block, bytes, domain);
	tls = ma_gate_begin_plain();
	if (__builtin_expect(!tls, 0))
		return record_whole(block, bytes, domain);
	/*
	 * Mostly a line of memory of its own: it comes while the site is looked for. And a new heap
	 * is handed out upwards, so the line after it is next.
	 */
	shadow = ma_exact_shadow(&ma_hook.exact, (uint64_t)(uintptr_t)block);
	__builtin_prefetch(shadow, 1);
	__builtin_prefetch((const uint8_t *)shadow + LINE_BYTES, 1);
	if (__builtin_expect(tls->left >= made.size_bytes && tls->interval, 1))
		made.site = ma_hook_site_known((uint8_t)domain, tls->slot);
	if (__builtin_expect(!made.site, 0)) {
		ma_gate_end_plain(tls);
		return record_whole(block, bytes, domain);
	}
	tls->left -= made.size_bytes;
	made.birth_ms = ma_clock_ms();
	if (__builtin_expect(shadow && ma_exact_try_add(&ma_hook.exact, tls->tid, shadow, &made),
			     1)) {
		ma_gate_end_plain(tls);
		return block;
	}
	enter_anyhow(tls, block, shadow, made);
	ma_gate_end_plain(tls);
	return block;
}

ALWAYS_INLINE bool is_of(const struct ma_exact_block *block, uint32_t layers)
{
	return layers == MA_LAYER_ANY ||
	       layers >> (ma_hook.area->tables.sites[block->site % MA_SITES].domain & 31) & 1;
}

/* Takes a block out of these layers. All but the change itself can be known without the lock. */
static __attribute__((noinline)) bool take(const void *block, uint32_t layers,
					   struct ma_exact_block *found)
{
	uint64_t address = (uint64_t)(uintptr_t)block;
	struct ma_shadow *shadow;
	struct ma_visit visit;
	bool taken;

	if (!block || !ma_gate_on())
		return false;
	if (ma_filter_may_hold(ma_hook.area, address))
		ma_hook_code_freed(address);
	shadow = ma_exact_find(&ma_hook.exact, address, found);
	if (!shadow || !is_of(found, layers) || !ma_gate_begin(&visit, false))
		return false;
	taken = ma_exact_take(&ma_hook.exact, caller_of(&visit), shadow);
	if (!taken)
		ma_counter_add(&ma_hook.area->counters.dropped_frees, 1);
	ma_gate_end(&visit);
	return taken;
}

bool ma_record_take_exact(void *block, uint32_t layers, struct ma_taken *taken)
{
	struct ma_exact_block found;
	uint64_t ticks;
	bool is_in;

	if (!block || !ma_gate_on())
		return false;
	ticks = is_untimed() ? 0 : begin_timed();
	is_in = take(block, layers, &found);
	if (ticks)
		end_timed(ticks);
	if (!is_in)
		return false;
	*taken = (struct ma_taken){
		.size_bytes = found.size_bytes,
		.site = found.site,
		.birth_ms = found.birth_ms,
		.domain = ma_hook.area->tables.sites[found.site % MA_SITES].domain,
	};
	return true;
}

static __attribute__((noinline)) void *free_whole(void *block)
{
	struct ma_exact_block found;

	take(block, MA_LAYER_ANY, &found);
	return block;
}

static __attribute__((noinline)) void *free_timed(void *block)
{
	uint64_t ticks = begin_timed();

	ma_record_free_exact(block);
	end_timed(ticks);
	return block;
}

void *ma_record_free_exact(void *block)
{
	uint64_t address = (uint64_t)(uintptr_t)block, word;
	struct ma_shadow *shadow;
	struct ma_tls *tls;
	bool removed;

	if (!block || !ma_gate_on())
		return block;
	if (__builtin_expect(ma_filter_may_hold(ma_hook.area, address), 0))
		return free_whole(block);
	shadow = ma_exact_shadow(&ma_hook.exact, address);
	if (!shadow)
		return block;
	word = __atomic_load_n(&shadow->word, __ATOMIC_ACQUIRE);
	if (!ma_shadow_site(word))
		return block;
	if (__builtin_expect(!is_untimed(), 0))
		return free_timed(block);
	tls = ma_gate_begin_plain();
	if (__builtin_expect(!tls, 0))
		return free_whole(block);
	removed = ma_exact_try_remove(&ma_hook.exact, tls->tid, shadow, word);
	ma_gate_end_plain(tls);
	return __builtin_expect(removed, 1) ? block : free_whole(block);
}

void ma_record_back_exact(const void *block, const struct ma_taken *taken)
{
	struct ma_exact_block back = {
		.size_bytes = taken->size_bytes,
		.site = taken->site,
		.birth_ms = taken->birth_ms,
	};
	struct ma_visit visit;

	if (!ma_gate_begin(&visit, false))
		return;
	if (!ma_exact_put_back(&ma_hook.exact, caller_of(&visit), (uint64_t)(uintptr_t)block,
			       &back))
		ma_counter_add(&ma_hook.area->counters.dropped_allocs, 1);
	ma_gate_end(&visit);
}
