/* SPDX-License-Identifier: MIT */
/* Changing the filter: each change is one compare-and-swap of a word, and one of a count. */
#include "inject/hook/filter.h"

enum {
	LANES = 4,
	LANE_BITS = 16,
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
static bool change(struct ma_filter *filter, uint64_t address,
		   uint64_t (*changed)(uint64_t, uint64_t))
{
	uint64_t hash = ma_address_hash(address);
	uint64_t *word = &filter->words[ma_filter_word(hash)];
	uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
	uint64_t new;

	do
		new = changed(old, ma_filter_tag(hash));
	while (!__atomic_compare_exchange_n(word, &old, new, true, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED));
	return new != old;
}

/* A count that has reached its largest value no longer says how many there are. */
static void count(struct ma_filter *filter, uint64_t address, int step)
{
	uint8_t *bytes = &filter->counts[ma_filter_count(address)];
	uint8_t old = __atomic_load_n(bytes, __ATOMIC_RELAXED);

	do
		if (old == UINT8_MAX || (step < 0 && !old))
			return;
	while (!__atomic_compare_exchange_n(bytes, &old, (uint8_t)(old + step), true,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
}

void ma_filter_add(struct ma_area *area, uint64_t address)
{
	change(&area->filter, address, with_tag);
	count(&area->filter, address, 1);
}

void ma_filter_remove(struct ma_area *area, uint64_t address)
{
	/* What was not in does not count. */
	if (change(&area->filter, address, without_tag))
		count(&area->filter, address, -1);
}
