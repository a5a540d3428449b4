/* SPDX-License-Identifier: MIT */
/*
 * PyMemAllocatorEx is {ctx, malloc, calloc, realloc, free}, PyObjectArenaAllocator {ctx, alloc,
 * free} (CPython 3.8 to 3.15, Include/cpython/pymem.h, objimpl.h); they are read and written by the
 * interpreter's own Get and Set functions only.
 *
 * A thunk may outlive its place in a table: tracemalloc, started while we are in, keeps our thunk
 * as the allocator behind it. If such a table were given our thunk a second time, it would call
 * itself for ever. So a table that was foreign at the last stop (`escaped`) and holds neither our
 * thunk nor what is behind it is left alone; its thunk is switched on, in case somebody still calls
 * it.
 */
#include "inject/hook/python_tables.h"

#include "inject/hook/entries.h"
#include "inject/hook/state.h"

/*
 * Words of a table of four. The last stays as it is where blocks are promoted (promote.h), and the
 * first is then the interpreter's while a window is closed (windows.h).
 */
enum { WORD_MALLOC = 0, WORD_FREE = 3 };

/* The cost (struct ma_size_rate) of one block in 64: -ln(1 - 1/64) in units of 2^-57. */
#define PROMOTED_COST UINT64_C(0x8102b2c49ac23)

enum {
	DOMAIN_RAW = 0, /* PYMEM_DOMAIN_RAW and its neighbours */
	DOMAIN_MEM = 1,
	DOMAIN_OBJ = 2,
	ARENAS = 3,
	MAX_WORDS = 4,
};

typedef void domain_function(int domain, uint64_t *table);
typedef void arena_function(uint64_t *table);

struct table {
	int domain;
	enum ma_fn first; /* thunk of the first function word */
	uint32_t words;
};

/* In the order of installation: arenas first, so that no arena is counted as the program's. */
static const struct table tables[] = {
	{ARENAS, MA_FN_ARENA_ALLOC, 2},
	{DOMAIN_MEM, MA_FN_MEM_MALLOC, 4},
	{DOMAIN_OBJ, MA_FN_OBJ_MALLOC, 4},
};

enum { TABLES = sizeof tables / sizeof tables[0] };

/* words[0] is ctx. */
static void get(int domain, uint64_t words[MAX_WORDS + 1])
{
	const struct ma_hook_config *config = ma_hook.config;

	if (domain == ARENAS)
		((arena_function *)config->py_get_arena_allocator)(words);
	else
		((domain_function *)config->py_get_allocator)(domain, words);
}

static void set(int domain, uint64_t words[MAX_WORDS + 1])
{
	const struct ma_hook_config *config = ma_hook.config;

	if (domain == ARENAS)
		((arena_function *)config->py_set_arena_allocator)(words);
	else
		((domain_function *)config->py_set_allocator)(domain, words);
}

static bool can_reach(int domain)
{
	const struct ma_hook_config *config = ma_hook.config;

	if (domain == ARENAS)
		return config->py_get_arena_allocator && config->py_set_arena_allocator;
	return config->py_get_allocator && config->py_set_allocator;
}

static uint64_t thunk(const struct table *table, uint32_t word)
{
	return ma_thunk_address((enum ma_fn)(table->first + word));
}

/* How many function words hold our thunks while we are in: the first so many. */
static uint32_t wanted(const struct table *table)
{
	return ma_hook.config->promotes && table->words > WORD_FREE ? WORD_FREE : table->words;
}

/* How many of those do. */
static uint32_t ours(const struct table *table, const uint64_t words[MAX_WORDS + 1])
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < wanted(table); i++)
		count += words[i + 1] == thunk(table, i);
	return count;
}

/* Is that all of them, as far as a closed window leaves them to us? */
static bool all_ours(const struct table *table, const uint64_t words[MAX_WORDS + 1])
{
	uint32_t count = ours(table, words);
	uint64_t next = ma_hook.thunks->next[table->first + WORD_MALLOC];
	bool closed = wanted(table) == WORD_FREE && words[WORD_MALLOC + 1] == next;

	return count && count + closed == wanted(table);
}

/*
 * Without pymalloc the domain's table is that of the RAW domain. Functions alone do not tell: since
 * 3.15 tracemalloc has the same ones in every domain, and only their contexts differ.
 */
static bool is_pymalloc(const struct table *table, const uint64_t words[MAX_WORDS + 1])
{
	uint64_t raw[MAX_WORDS + 1] = {0};

	if (table->domain == ARENAS)
		return true;
	get(DOMAIN_RAW, raw);
	return words[0] != raw[0] || words[1] != raw[1];
}

/* Takes what is in the table as the definition behind our thunks. */
static void adopt(const struct table *table, const uint64_t words[MAX_WORDS + 1])
{
	for (uint32_t i = 0; i < table->words; i++)
		ma_hook.thunks->next[table->first + i] = words[i + 1];
}

static void put_thunks(const struct table *table, uint64_t words[MAX_WORDS + 1])
{
	for (uint32_t i = 0; i < wanted(table); i++)
		words[i + 1] = thunk(table, i);
	set(table->domain, words);
}

static void switch_thunks_on(const struct table *table)
{
	for (uint32_t i = 0; i < table->words; i++) {
		enum ma_fn fn = (enum ma_fn)(table->first + i);

		ma_hook.next[fn] = ma_hook.thunks->next[fn];
		__atomic_store_n(&ma_hook.thunks->target[fn],
				 ma_entry_address(fn, (enum ma_mode)ma_hook.mode),
				 __ATOMIC_RELEASE);
	}
}

/* False: the table was left alone, and is not ours. */
static bool install(const struct table *table)
{
	struct ma_thunk_data *thunks = ma_hook.thunks;
	uint64_t words[MAX_WORDS + 1] = {0};
	bool escaped = thunks->escaped >> table->domain & 1;

	if (!can_reach(table->domain))
		return true;
	get(table->domain, words);
	if (ours(table, words)) {
		switch_thunks_on(table);
		/* Somebody may have put back what he found while a window was closed. */
		if (all_ours(table, words) && ours(table, words) < wanted(table))
			put_thunks(table, words);
		return true;
	}
	if (escaped && words[1] != thunks->next[table->first]) {
		switch_thunks_on(table);
		return false;
	}
	if (!is_pymalloc(table, words))
		return true;
	adopt(table, words);
	switch_thunks_on(table);
	put_thunks(table, words);
	return true;
}

/* By size class, are few enough small blocks recorded that they may all become malloc's? */
static bool few_are_drawn(void)
{
	const struct ma_size_rate *rates = ma_hook.size_rates;

	if (ma_hook.mode != MA_MODE_CLASSES)
		return true;
	for (uint32_t i = 0; i < MA_SIZE_RATES; i++) {
		if (rates[i].cost > PROMOTED_COST)
			return false;
		if (rates[i].below_bytes > ma_hook.small_limit)
			return true;
	}
	return true;
}

/*
 * Can small blocks be promoted? The interpreter's own allocators have no context; and malloc and
 * free must lead to us.
 */
static bool can_promote(void)
{
	static const int domains[] = {DOMAIN_RAW, DOMAIN_MEM, DOMAIN_OBJ};
	static const enum ma_fn below[] = {MA_FN_MALLOC, MA_FN_CALLOC, MA_FN_REALLOC, MA_FN_FREE};

	if (ma_hook.mode == MA_MODE_EXACT || !few_are_drawn() || !can_reach(DOMAIN_RAW))
		return false;
	for (uint32_t i = 0; i < sizeof below / sizeof below[0]; i++)
		if (!ma_hook.next[below[i]])
			return false;
	for (uint32_t i = 0; i < sizeof domains / sizeof domains[0]; i++) {
		uint64_t words[MAX_WORDS + 1] = {0};

		get(domains[i], words);
		if (words[0])
			return false;
	}
	return true;
}

uint32_t ma_python_tables_install(void)
{
	uint32_t foreign = 0;

	if (!ma_hook.small_limit)
		return 0;
	ma_hook.config->promotes = can_promote();
	for (uint32_t i = 0; i < TABLES; i++)
		if (!install(&tables[i]))
			foreign |= 1u << tables[i].domain;
	return foreign;
}

/* Where the interpreter keeps a domain's table; 0 = not hooked. */
static uint64_t *table_of(int domain)
{
	const struct ma_area_ident *ident = &ma_hook.area->ident;

	return (uint64_t *)(domain == DOMAIN_OBJ ? ident->obj_table : ident->mem_table);
}

static void turn(const struct table *table, bool open)
{
	uint64_t *words = table_of(table->domain);
	uint64_t interpreters = ma_hook.thunks->next[table->first + WORD_MALLOC];
	uint64_t thunks = thunk(table, WORD_MALLOC);
	uint64_t expected = open ? interpreters : thunks;

	if (words && interpreters)
		__atomic_compare_exchange_n(&words[WORD_MALLOC + 1], &expected,
					    open ? thunks : interpreters, false, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED);
}

void ma_python_tables_turn(bool open)
{
	for (uint32_t i = 0; i < TABLES; i++)
		if (tables[i].domain == DOMAIN_MEM || tables[i].domain == DOMAIN_OBJ)
			turn(&tables[i], open);
}

/* False: somebody else's words are in it, wholly or in part. */
static bool restore(const struct table *table)
{
	uint64_t words[MAX_WORDS + 1] = {0};

	/* Never installed, by us or an earlier attach: nothing of ours can be in it. */
	if (!can_reach(table->domain) || !ma_hook.thunks->next[table->first])
		return true;
	get(table->domain, words);
	if (!all_ours(table, words))
		return words[1] == ma_hook.thunks->next[table->first];
	for (uint32_t i = 0; i < table->words; i++)
		words[i + 1] = ma_hook.thunks->next[table->first + i];
	set(table->domain, words);
	return true;
}

uint32_t ma_python_tables_restore(void)
{
	struct ma_thunk_data *thunks = ma_hook.thunks;
	uint32_t foreign = 0;

	for (uint32_t i = TABLES; i-- > 0;) {
		uint64_t bit = UINT64_C(1) << tables[i].domain;

		if (restore(&tables[i])) {
			thunks->escaped &= ~bit;
			continue;
		}
		thunks->escaped |= bit;
		foreign |= (uint32_t)bit;
	}
	return foreign;
}
