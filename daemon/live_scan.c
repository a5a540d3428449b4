/* SPDX-License-Identifier: MIT */
/* See live_scan.h. */
#include "daemon/live_scan.h"

#include "proto/area_check.h"

enum {
	DIRECTORY_PAGES = MA_SHADOW_PAGES * 4 / MA_PAGE_BYTES,
	MAX_DIRECTORIES = 4096, /* a heap spread over more GiB than this is no heap */
};

void ma_live_scan_sampled(const struct ma_area *area, ma_live_visit *visit, void *context)
{
	for (uint32_t bucket = 0; bucket < MA_LIVE_BUCKETS; bucket++) {
		for (int way = 0; way < MA_LIVE_WAYS; way++) {
			uint64_t address;
			struct ma_live_entry entry;
			if (!ma_live_copy(&area->live, bucket, way, &address, &entry))
				continue;
			struct ma_heap_sample sample = {
				.size_bytes = entry.size_bytes,
				.site = entry.site,
				.rate = entry.rate,
				.domain = entry.domain,
				.birth_ms = entry.birth_ms,
				.coin = ma_halves_coin(address, entry.birth_ms)};
			visit(context, address, &sample);
		}
	}
}

/* The walk over the shadow: what is still believed, and who is told. */
struct walk {
	const uint8_t *arena;
	uint64_t pages; /* of the arena */
	uint64_t pages_left;
	const uint32_t *larges; /* struct ma_exact's */
	ma_live_visit *visit;
	void *context;
};

/* `count` pages from page `index` (from 1) of the arena, or NULL when they do not lie in it. */
static const void *arena_pages(struct walk *walk, uint32_t index, uint64_t count)
{
	if (index == 0 || walk->pages_left < count || count > walk->pages ||
	    index - 1 > walk->pages - count)
		return NULL;
	walk->pages_left -= count;
	return walk->arena + (uint64_t)(index - 1) * MA_PAGE_BYTES;
}

/* Reads what a shadow has no room for. False: the number names nothing. */
static bool read_large(const struct walk *walk, uint32_t number, struct ma_heap_sample *sample)
{
	if (number == 0 || number > MA_LARGES)
		return false;
	uint32_t page =
		__atomic_load_n(&walk->larges[(number - 1) / MA_LARGES_A_PAGE], __ATOMIC_ACQUIRE);
	if (page == 0 || page > walk->pages)
		return false;
	const struct ma_exact_large *large =
		(const void *)(walk->arena + (uint64_t)(page - 1) * MA_PAGE_BYTES);
	large += (number - 1) % MA_LARGES_A_PAGE;
	sample->size_bytes =
		__atomic_load_n(&large->size_bytes, __ATOMIC_RELAXED) % MA_EXACT_SIZE_LIMIT;
	sample->birth_ms = __atomic_load_n(&large->birth_ms, __ATOMIC_RELAXED);
	return true;
}

static void visit_page(struct walk *walk, const struct ma_shadow *slots, uint64_t heap_page)
{
	for (uint64_t i = 0; i < MA_SHADOW_SLOTS; i++) {
		uint64_t word = __atomic_load_n(&slots[i].word, __ATOMIC_ACQUIRE);
		struct ma_heap_sample sample = {.site = ma_shadow_site(word),
						.size_bytes = ma_shadow_size(word),
						.birth_ms = (uint32_t)(word >> 32)};
		if (sample.site == 0 || (sample.size_bytes == MA_SHADOW_LARGE &&
					 !read_large(walk, sample.birth_ms, &sample)))
			continue;
		walk->visit(walk->context, heap_page + (i << MA_SHADOW_GRANULE_BITS), &sample);
	}
}

void ma_live_scan_exact(const struct ma_area *area, uint64_t arena_bytes, ma_live_visit *visit,
			void *context)
{
	struct walk walk = {.arena = (const uint8_t *)(area + 1),
			    .pages = arena_bytes / MA_PAGE_BYTES,
			    .larges = area->exact.larges,
			    .visit = visit,
			    .context = context};
	uint32_t used = __atomic_load_n(&area->exact.arena_pages_used, __ATOMIC_ACQUIRE);
	walk.pages_left = used < walk.pages ? used : walk.pages;
	int directories = 0;
	for (uint64_t region = 0; region < MA_SHADOW_REGIONS; region++) {
		uint32_t index = __atomic_load_n(&area->exact.regions[region], __ATOMIC_ACQUIRE);
		const uint32_t *directory = arena_pages(&walk, index, DIRECTORY_PAGES);
		if (!directory)
			continue;
		if (++directories > MAX_DIRECTORIES)
			return;
		for (uint64_t page = 0; page < MA_SHADOW_PAGES; page++) {
			index = __atomic_load_n(&directory[page], __ATOMIC_ACQUIRE);
			const struct ma_shadow *slots = arena_pages(&walk, index, 1);
			if (slots)
				visit_page(&walk, slots,
					   region << MA_SHADOW_REGION_BITS |
						   page << MA_SHADOW_PAGE_BITS);
		}
	}
}
