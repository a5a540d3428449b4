/* SPDX-License-Identifier: MIT */
/* Changing the filter: each change is one compare-and-swap of one word. */
#include "inject/hook/filter.h"

enum {
	LANES = 4,
	LANE_BITS = 16,
	FEW = MA_FILTER_FEW_WORDS, /* more than so many addresses are many, fewer than half of it
				      few */
};

static bool is_crowded(uint64_t word)
{
	return word >= MA_FILTER_CROWDED;
}

static uint64_t lane_of(uint64_t word, uint32_t lane)
{
	return word >> lane * LANE_BITS & 0xffff;
}

static uint64_t with_tag(uint64_t word, uint64_t tag)
{
	if (is_crowded(word))
		return word + 1;
	for (uint32_t lane = 0; lane < LANES; lane++)
		if (!lane_of(word, lane))
			return word | tag << lane * LANE_BITS;
	return MA_FILTER_CROWDED | (LANES + 1);
}

/* A crowded word stays so until the last of its addresses is gone: which they are is forgotten. */
static uint64_t without_tag(uint64_t word, uint64_t tag)
{
	if (is_crowded(word))
		return word == (MA_FILTER_CROWDED | 1) ? 0 : word - 1;
	for (uint32_t lane = 0; lane < LANES; lane++)
		if (lane_of(word, lane) == tag)
			return word & ~(UINT64_C(0xffff) << lane * LANE_BITS);
	return word;
}

/* Returns whether the word is another one now. */
static bool change_in(struct ma_filter *filter, uint64_t hash, uint32_t form,
		      uint64_t (*changed)(uint64_t, uint64_t))
{
	uint64_t *word = &filter->words[ma_filter_word(hash, form)];
	uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
	uint64_t new;

	do
		new = changed(old, ma_filter_tag(hash));
	while (!__atomic_compare_exchange_n(word, &old, new, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
	return new != old;
}

static bool change(struct ma_filter *filter, uint64_t address,
		   uint64_t (*changed)(uint64_t, uint64_t))
{
	uint64_t hash = ma_address_hash(address);

	change_in(filter, hash, MA_FILTER_FEW, changed);
	return change_in(filter, hash, 0, changed);
}

static void choose(struct ma_filter *filter, uint64_t entries)
{
	if (entries > FEW)
		__atomic_store_n(&filter->form, 0, __ATOMIC_RELAXED);
	else if (entries < FEW / 2)
		__atomic_store_n(&filter->form, MA_FILTER_FEW, __ATOMIC_RELAXED);
}

void ma_filter_add(struct ma_area *area, uint64_t address)
{
	struct ma_filter *filter = &area->filter;

	change(filter, address, with_tag);
	choose(filter, __atomic_add_fetch(&filter->entries, 1, __ATOMIC_RELAXED));
}

void ma_filter_remove(struct ma_area *area, uint64_t address)
{
	struct ma_filter *filter = &area->filter;

	/* What was not in does not count. */
	if (change(filter, address, without_tag))
		choose(filter, __atomic_sub_fetch(&filter->entries, 1, __ATOMIC_RELAXED));
}
