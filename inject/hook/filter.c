/* SPDX-License-Identifier: MIT */
/* Changing the filter: each change is one compare-and-swap of one word. */
#include "inject/hook/filter.h"

enum { LANES = 4, LANE_BITS = 16 };

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

static void change(struct ma_area *area, uint64_t address, uint64_t (*changed)(uint64_t, uint64_t))
{
	uint64_t hash = ma_address_hash(address);
	uint64_t *word = &area->filter[ma_filter_word(hash)];
	uint64_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(word, &old, changed(old, ma_filter_tag(hash)), true,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		;
}

void ma_filter_add(struct ma_area *area, uint64_t address)
{
	change(area, address, with_tag);
}

void ma_filter_remove(struct ma_area *area, uint64_t address)
{
	change(area, address, without_tag);
}
