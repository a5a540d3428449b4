/* SPDX-License-Identifier: MIT */
/*
 * How the peak costs O(1): `epoch` counts new maxima of the total. A site that is touched for the
 * first time after a maximum stores its live values of then, which are those from before the touch,
 * as its values at the peak; a site that was not touched since has them in live_* still.
 *
 * The shadow is reached over two levels (regions, directories) whose pages are taken from the arena
 * one after the other and never given back, so look-ups need no lock. The memory starts zeroed.
 */
#include "inject/hook/exact.h"

#include "inject/hook/cpu.h"

enum {
	DIRECTORY_PAGES = MA_SHADOW_PAGES * sizeof(uint32_t) / MA_PAGE_BYTES,
	/*
	 * Spins after which a lock whose holder has not changed counts as left behind: half a
	 * second and more. Counted, not timed, so that a target that was stopped meanwhile does not
	 * count.
	 */
	TAKEOVER_SPINS = 1 << 25,
};

bool ma_exact_init(struct ma_exact_heap *heap, struct ma_area *area, uint64_t area_bytes)
{
	uint64_t arena_bytes = area->ident.exact_heap_bytes;

	if (area_bytes < sizeof *area)
		return false;
	if (arena_bytes > area_bytes - sizeof *area)
		arena_bytes = area_bytes - sizeof *area;
	if (arena_bytes / MA_PAGE_BYTES > UINT32_MAX)
		return false;
	heap->state = &area->exact;
	heap->counters = &area->counters;
	heap->arena = (uint8_t *)area + sizeof *area;
	heap->arena_pages = (uint32_t)(arena_bytes / MA_PAGE_BYTES);
	heap->state->arena_pages = heap->arena_pages;
	if (heap->arena_pages <= DIRECTORY_PAGES)
		return false;
	heap->directory_pages = heap->arena_pages - DIRECTORY_PAGES + 1;
	return true;
}

static __attribute__((cold, noinline)) bool wait_for_lock(const struct ma_exact_heap *heap,
							  struct ma_exact_caller caller)
{
	struct ma_exact *state = heap->state;
	uint32_t seen = 0;
	uint32_t spins = 0;

	for (;;) {
		uint32_t holder = __atomic_load_n(&state->lock, __ATOMIC_RELAXED);

		/* Our own id: a frame below this one holds it, or one that will never return. */
		if (holder == caller.tid)
			return !caller.nested;
		spins = holder == seen ? spins + 1 : 0;
		seen = holder;
		if ((!holder || spins == TAKEOVER_SPINS) &&
		    __atomic_compare_exchange_n(&state->lock, &holder, caller.tid, false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
		ma_cpu_pause();
	}
}

static bool lock(const struct ma_exact_heap *heap, struct ma_exact_caller caller)
{
	uint32_t holder = 0;

	if (__builtin_expect(__atomic_compare_exchange_n(&heap->state->lock, &holder, caller.tid,
							 false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED),
			     1))
		return true;
	return wait_for_lock(heap, caller);
}

static void unlock(const struct ma_exact_heap *heap, struct ma_exact_caller caller)
{
	/* The lock may have been taken over from us. */
	if (__atomic_load_n(&heap->state->lock, __ATOMIC_RELAXED) == caller.tid)
		__atomic_store_n(&heap->state->lock, 0, __ATOMIC_RELEASE);
}

static void *arena_page(const struct ma_exact_heap *heap, uint32_t page, uint32_t pages)
{
	if (!page || page > heap->arena_pages || heap->arena_pages - page + 1 < pages)
		return NULL;
	return heap->arena + (uint64_t)(page - 1) * MA_PAGE_BYTES;
}

/* Takes the next pages of the arena; 0 when it is used up. Under the lock. */
static uint32_t arena_take(const struct ma_exact_heap *heap, uint32_t pages)
{
	uint32_t used = heap->state->arena_pages_used;

	if (used > heap->arena_pages || heap->arena_pages - used < pages)
		return 0;
	__atomic_store_n(&heap->state->arena_pages_used, used + pages, __ATOMIC_RELAXED);
	return used + 1;
}

void *ma_exact_reserve(const struct ma_exact_heap *heap, uint64_t bytes)
{
	uint64_t pages = (bytes + MA_PAGE_BYTES - 1) / MA_PAGE_BYTES;

	if (pages > heap->arena_pages / 16)
		return NULL;
	return arena_page(heap, arena_take(heap, (uint32_t)pages), (uint32_t)pages);
}

static uint32_t *directory_slot(const struct ma_exact_heap *heap, uint32_t *region,
				uint64_t address)
{
	uint32_t *directory =
		arena_page(heap, __atomic_load_n(region, __ATOMIC_ACQUIRE), DIRECTORY_PAGES);

	if (!directory)
		return NULL;
	return &directory[address >> MA_SHADOW_PAGE_BITS & (MA_SHADOW_PAGES - 1)];
}

/* The shadow of an address, made if it is missing; NULL when the arena is used up. Under the lock.
 */
static struct ma_shadow *shadow_make(const struct ma_exact_heap *heap, uint64_t address)
{
	uint32_t *region, *slot;

	if (!ma_exact_can_hold(address))
		return NULL;
	region = &heap->state->regions[address >> MA_SHADOW_REGION_BITS];
	if (!*region)
		__atomic_store_n(region, arena_take(heap, DIRECTORY_PAGES), __ATOMIC_RELEASE);
	slot = directory_slot(heap, region, address);
	if (!slot)
		return NULL;
	if (!*slot)
		__atomic_store_n(slot, arena_take(heap, 1), __ATOMIC_RELEASE);
	return ma_exact_shadow(heap, address);
}

static uint64_t shadow_size(const struct ma_shadow *shadow)
{
	return shadow->size_low | (uint64_t)shadow->size_high << 32;
}

/* Must precede each change of a site's live values. Under the lock. */
static void keep_peak(const struct ma_exact *state, struct ma_exact_site *site)
{
	if (site->epoch == state->epoch)
		return;
	site->peak_bytes = site->live_bytes;
	site->peak_count = site->live_count;
	__atomic_store_n(&site->epoch, state->epoch, __ATOMIC_RELEASE);
}

static inline __attribute__((always_inline)) void site_shrink(struct ma_exact *state, uint32_t id,
							      uint64_t bytes)
{
	struct ma_exact_site *site = &state->sites[id % MA_SITES];

	keep_peak(state, site);
	ma_cpu_add(&site->live_bytes, -bytes);
	ma_cpu_add(&site->live_count, (uint64_t)-1);
	ma_cpu_add(&state->live_bytes, -bytes);
	ma_cpu_add(&state->live_count, (uint64_t)-1);
}

static inline __attribute__((always_inline)) void
site_grow(struct ma_exact *state, const struct ma_exact_block *block, bool is_new)
{
	struct ma_exact_site *site = &state->sites[block->site % MA_SITES];

	keep_peak(state, site);
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

static inline __attribute__((always_inline)) void shadow_fill(struct ma_shadow *shadow,
							      const struct ma_exact_block *block)
{
	shadow->size_low = (uint32_t)block->size_bytes;
	shadow->size_high = (uint16_t)(block->size_bytes >> 32);
	shadow->birth_ms = block->birth_ms;
	__atomic_store_n(&shadow->site, block->site, __ATOMIC_RELEASE);
}

/* Under the lock. */
static inline __attribute__((always_inline)) bool enter(const struct ma_exact_heap *heap,
							uint64_t address, struct ma_shadow *shadow,
							const struct ma_exact_block *block,
							bool is_new)
{
	if (__builtin_expect(!shadow, 0))
		shadow = shadow_make(heap, address);
	if (__builtin_expect(!shadow, 0))
		return false;
	if (__builtin_expect(shadow->site != 0, 0)) {
		site_shrink(heap->state, shadow->site, shadow_size(shadow));
		ma_cpu_add(&heap->counters->implicit_frees, 1);
	}
	shadow_fill(shadow, block);
	site_grow(heap->state, block, is_new);
	return true;
}

bool ma_exact_enter_at(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
		       uint64_t address, struct ma_shadow *shadow, struct ma_exact_block block)
{
	bool entered;

	if (block.size_bytes >> 48 || !lock(heap, caller))
		return false;
	entered = enter(heap, address, shadow, &block, true);
	if (entered)
		ma_cpu_add(&heap->counters->samples, 1);
	unlock(heap, caller);
	return entered;
}

bool ma_exact_enter(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
		    uint64_t address, const struct ma_exact_block *block)
{
	return ma_exact_enter_at(heap, caller, address, ma_exact_shadow(heap, address), *block);
}

bool ma_exact_take(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
		   struct ma_shadow *shadow, const struct ma_exact_block *block)
{
	if (!lock(heap, caller))
		return false;
	__atomic_store_n(&shadow->site, 0, __ATOMIC_RELEASE);
	site_shrink(heap->state, block->site, block->size_bytes);
	ma_cpu_add(&heap->counters->sample_frees, 1);
	unlock(heap, caller);
	return true;
}

bool ma_exact_put_back(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
		       uint64_t address, const struct ma_exact_block *taken)
{
	bool entered;

	if (!lock(heap, caller))
		return false;
	entered = enter(heap, address, ma_exact_shadow(heap, address), taken, false);
	if (entered)
		ma_cpu_add(&heap->counters->sample_frees, (uint64_t)-1);
	unlock(heap, caller);
	return entered;
}
