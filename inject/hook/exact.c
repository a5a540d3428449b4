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

/* A number for what a shadow has no room for; 0 = there is none. Under the lock. */
static uint32_t large_take(const struct ma_exact_heap *heap)
{
	struct ma_exact *state = heap->state;
	const struct ma_exact_large *large = ma_exact_large(heap, state->large_free);
	uint32_t number = state->large_free, *page;

	if (large) {
		state->large_free = large->next;
		return number;
	}
	number = state->larges_used + 1;
	if (number > MA_LARGES)
		return 0;
	page = &state->larges[(number - 1) / MA_LARGES_A_PAGE];
	if (!*page)
		__atomic_store_n(page, arena_take(heap, 1), __ATOMIC_RELEASE);
	if (!*page)
		return 0;
	state->larges_used = number;
	return number;
}

/* Under the lock. */
static bool shadow_fill(const struct ma_exact_heap *heap, struct ma_shadow *shadow,
			const struct ma_exact_block *block)
{
	uint64_t word = ma_shadow_word(block->site, block->size_bytes, block->birth_ms);
	struct ma_exact_large *large;
	uint32_t number;

	if (block->size_bytes >= MA_SHADOW_LARGE) {
		number = large_take(heap);
		large = ma_exact_large(heap, number);
		if (!large)
			return false;
		large->size_bytes = block->size_bytes;
		large->birth_ms = block->birth_ms;
		word = ma_shadow_word(block->site, MA_SHADOW_LARGE, number);
	}
	__atomic_store_n(&shadow->word, word, __ATOMIC_RELEASE);
	return true;
}

/* Takes out what is there. Under the lock. */
static void shadow_clear(const struct ma_exact_heap *heap, struct ma_shadow *shadow)
{
	uint64_t word = shadow->word;
	struct ma_exact_block block = ma_exact_block(heap, word);
	uint32_t number = (uint32_t)(word >> 32);
	struct ma_exact_large *large;

	__atomic_store_n(&shadow->word, 0, __ATOMIC_RELEASE);
	ma_exact_shrink(heap->state, block.site, block.size_bytes);
	if (ma_shadow_size(word) != MA_SHADOW_LARGE)
		return;
	large = ma_exact_large(heap, number);
	if (!large)
		return;
	large->next = heap->state->large_free;
	heap->state->large_free = number;
}

/* Under the lock. */
static bool enter(const struct ma_exact_heap *heap, uint64_t address, struct ma_shadow *shadow,
		  const struct ma_exact_block *block, bool is_new)
{
	if (!shadow)
		shadow = shadow_make(heap, address);
	if (!shadow)
		return false;
	if (ma_shadow_site(shadow->word)) {
		shadow_clear(heap, shadow);
		ma_cpu_add(&heap->counters->implicit_frees, 1);
	}
	if (!shadow_fill(heap, shadow, block))
		return false;
	ma_exact_grow(heap->state, block, is_new);
	return true;
}

bool ma_exact_enter_at(const struct ma_exact_heap *heap, struct ma_exact_caller caller,
		       uint64_t address, struct ma_shadow *shadow, struct ma_exact_block block)
{
	bool entered;

	if (block.size_bytes >= MA_EXACT_SIZE_LIMIT || !lock(heap, caller))
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
		   struct ma_shadow *shadow)
{
	if (!lock(heap, caller))
		return false;
	shadow_clear(heap, shadow);
	ma_cpu_add(&heap->counters->sample_frees, 1);
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
