/* SPDX-License-Identifier: MIT */
/*
 * The shadow is reached over two levels (regions, directories) whose pages are taken from the arena
 * one after the other and never given back, so look-ups need no lock. The memory starts zeroed.
 */
#include "inject/hook/exact.h"

#include "inject/hook/exact_sums.h"

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
	return ma_exact_try_lock(heap, caller.tid) || wait_for_lock(heap, caller);
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
		ma_exact_shrink(heap->state, shadow->site, shadow_size(shadow));
		ma_cpu_add(&heap->counters->implicit_frees, 1);
	}
	ma_exact_fill(shadow, block);
	ma_exact_grow(heap->state, block, is_new);
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
	ma_exact_unlock(heap, caller.tid);
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
	ma_exact_remove(heap, shadow, block);
	ma_exact_unlock(heap, caller.tid);
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
	ma_exact_unlock(heap, caller.tid);
	return entered;
}
