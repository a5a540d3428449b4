/* SPDX-License-Identifier: MIT */
/*
 * Stacks and sites: each different one is stored once and is an id from then on. A stack that is
 * known costs a probe and a comparison of its frames; a site that is known costs one more probe.
 * Both are looked up without the lock, and once more with it before something is added.
 *
 * When a stack cannot be stored (a table is full, the lock is busy) the sample goes to the site
 * "no stack" of its domain and thread, so that totals stay right; MA_SITE_RESERVE sites are kept
 * for those.
 */
#include <stddef.h>

#include "inject/hook/tables.h"

/* A site record as one word, so that it is published by one compare-and-swap. */
typedef uint64_t __attribute__((may_alias)) site_word;

_Static_assert(offsetof(struct ma_tables, sites) % sizeof(site_word) == 0, "sites are words");
_Static_assert(sizeof(struct ma_stack) == 16, "a stack record starts with two words");

static uint64_t stack_head(const struct ma_walk *walk)
{
	return (uint64_t)walk->flags << 32 | walk->count;
}

static uint64_t stack_hash(const struct ma_walk *walk)
{
	return ma_walk_mix(walk->hash, stack_head(walk));
}

static bool same_stack(const struct ma_tables *tables, uint32_t id, uint64_t hash,
		       const struct ma_walk *walk)
{
	const uint64_t *record;

	if (id > MA_STACK_WORDS - 2 - walk->count)
		return false;
	record = &tables->stack_log[id];
	if (record[1] != hash || record[0] != stack_head(walk))
		return false;
	for (uint32_t i = 0; i < walk->count; i++)
		if (record[2 + i] != walk->frames[i])
			return false;
	return true;
}

/*
 * The id of a stack, 0 = not there. *free is the slot that an addition takes, NULL = no room in the
 * index.
 */
static uint32_t find_stack(struct ma_tables *tables, uint64_t hash, const struct ma_walk *walk,
			   uint32_t **free)
{
	uint64_t at = hash / (UINT64_MAX / MA_STACK_INDEX + 1);

	*free = NULL;
	for (uint32_t probe = 0; probe < MA_INDEX_PROBES; probe++) {
		uint32_t *slot = &tables->stack_index[(at + probe) % MA_STACK_INDEX];
		uint32_t id = __atomic_load_n(slot, __ATOMIC_ACQUIRE);

		if (!id) {
			*free = slot;
			return 0;
		}
		if (same_stack(tables, id, hash, walk))
			return id;
	}
	return 0;
}

/* Writes and publishes a stack. The lock is held. Returns its id, 0 = no room. */
static uint32_t add_stack(struct ma_tables *tables, uint64_t hash, const struct ma_walk *walk,
			  uint32_t *free)
{
	uint64_t id = __atomic_load_n(&tables->stack_used, __ATOMIC_ACQUIRE);
	uint64_t words = 2 + (uint64_t)walk->count;
	uint64_t *record;

	if (!free || id == 0 || id > MA_STACK_WORDS || words > MA_STACK_WORDS - id)
		return 0;
	record = &tables->stack_log[id];
	record[0] = stack_head(walk);
	record[1] = hash;
	for (uint32_t i = 0; i < walk->count; i++)
		record[2 + i] = walk->frames[i];
	if (!ma_tables_publish(&tables->stack_used, id, words))
		return 0;
	__atomic_store_n(free, (uint32_t)id, __ATOMIC_RELEASE);
	return (uint32_t)id;
}

static uint64_t pack_site(uint32_t stack, uint8_t domain, uint8_t thread, uint32_t flags)
{
	struct ma_site site = {
		.stack = stack,
		.domain = domain,
		.thread = thread,
		.flags = (uint16_t)flags,
	};
	uint64_t word;

	__builtin_memcpy(&word, &site, sizeof(word));
	return word;
}

/* The id of a site, 0 = not there; *free as above. */
static uint32_t find_site(struct ma_tables *tables, uint64_t site, uint32_t **free)
{
	uint64_t at = ma_walk_mix(0, site) / (UINT64_MAX / MA_SITE_INDEX + 1);

	*free = NULL;
	for (uint32_t probe = 0; probe < MA_INDEX_PROBES; probe++) {
		uint32_t *slot = &tables->site_index[(at + probe) % MA_SITE_INDEX];
		uint32_t id = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
		site_word *record = (site_word *)&tables->sites[id % MA_SITES];

		if (!id) {
			*free = slot;
			return 0;
		}
		if (__atomic_load_n(record, __ATOMIC_RELAXED) == site)
			return id;
	}
	return 0;
}

/* Publishes a site with an id below `limit`. The lock is held. 0 = no room. */
static uint32_t add_site(struct ma_tables *tables, uint64_t site, uint32_t *free, uint32_t limit)
{
	uint32_t id = __atomic_load_n(&tables->site_count, __ATOMIC_ACQUIRE) + 1;
	uint64_t none = 0;

	if (!free || id >= limit)
		return 0;
	if (!__atomic_compare_exchange_n((site_word *)&tables->sites[id], &none, site, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		none = UINT64_MAX;
	/* Counted even if somebody else's late record is in the way: that id is theirs now. */
	__atomic_store_n(&tables->site_count, id, __ATOMIC_RELEASE);
	if (none)
		return 0;
	__atomic_store_n(free, id, __ATOMIC_RELEASE);
	return id;
}

/* Finds or adds stack and site. The lock is held. 0 = a table is full. */
static uint32_t add_all(struct ma_tables *tables, uint64_t hash, const struct ma_walk *walk,
			uint8_t domain, uint8_t thread)
{
	uint32_t limit = walk->count ? MA_SITES - MA_SITE_RESERVE : MA_SITES;
	uint32_t stack = 0, site, *free;
	uint64_t word;

	if (walk->count) {
		stack = find_stack(tables, hash, walk, &free);
		if (!stack)
			stack = add_stack(tables, hash, walk, free);
		if (!stack)
			return 0;
	}
	word = pack_site(stack, domain, thread, stack ? 0 : walk->flags);
	site = find_site(tables, word, &free);
	return site ? site : add_site(tables, word, free, limit);
}

uint32_t ma_intern_find(struct ma_tables *tables, uint32_t stack, uint8_t domain, uint8_t thread)
{
	uint32_t *free, flags = stack ? 0 : MA_STACK_NO_PYTHON;

	return find_site(tables, pack_site(stack, domain, thread, flags), &free);
}

uint32_t ma_intern_site(struct ma_area *area, const struct ma_writer *writer,
			const struct ma_walk *walk, uint8_t domain, uint8_t thread)
{
	static const struct ma_walk no_walk;
	struct ma_tables *tables = &area->tables;
	uint64_t hash = stack_hash(walk);
	uint32_t stack = 0, site = 0, *free;

	if (!walk->busy) {
		if (walk->count)
			stack = find_stack(tables, hash, walk, &free);
		if (stack || !walk->count)
			site = find_site(tables,
					 pack_site(stack, domain, thread, stack ? 0 : walk->flags),
					 &free);
		if (site)
			return site;
	}
	if (walk->busy || !ma_tables_lock(tables, writer)) {
		ma_counter_add(&area->counters.tables_busy, 1);
		return find_site(tables, pack_site(0, domain, thread, 0), &free);
	}
	site = add_all(tables, hash, walk, domain, thread);
	if (!site) {
		ma_counter_add(&area->counters.tables_full, 1);
		site = add_all(tables, 0, &no_walk, domain, thread);
	}
	ma_tables_unlock(tables, writer->owner);
	return site;
}
