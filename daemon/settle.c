/* SPDX-License-Identifier: MIT */
/* See settle.h. Open addressing by the address; a removed entry keeps its slot with size 0. */
#include "daemon/settle.h"

#include <stdlib.h>

#include "daemon/live_scan.h"

struct ma_settle_slot {
	uint64_t address;             /* 0 = never taken */
	struct ma_heap_sample sample; /* size 0 = freed again */
};

static struct ma_settle_slot *slot_of(struct ma_settle *settle, uint64_t address)
{
	uint32_t at = (uint32_t)(ma_address_hash(address) >> 32) & (MA_SETTLE_SLOTS - 1);
	while (settle->slots[at].address != 0 && settle->slots[at].address != address)
		at = (at + 1) & (MA_SETTLE_SLOTS - 1);
	return &settle->slots[at];
}

static void take(struct ma_settle *settle, struct ma_settle_slot *slot, uint64_t address,
		 const struct ma_heap_sample *sample)
{
	if (slot->address == 0)
		settle->used++;
	*slot = (struct ma_settle_slot){.address = address, .sample = *sample};
}

/* What the scan of the live set fills. */
struct filling {
	struct ma_settle *settle;
	struct ma_heap_state *state;
};

static void count_live(void *context, uint64_t address, const struct ma_heap_sample *sample)
{
	struct filling *filling = context;
	struct ma_settle_slot *slot = slot_of(filling->settle, address);
	if (slot->sample.size_bytes)
		return; /* handed out twice while we looked, or a lie */
	take(filling->settle, slot, address, sample);
	ma_heap_state_relive(filling->state, sample);
}

bool ma_settle_prepare(struct ma_settle *settle)
{
	ma_settle_fini(settle);
	settle->slots = calloc(MA_SETTLE_SLOTS, sizeof *settle->slots);
	return settle->slots != NULL;
}

void ma_settle_begin(struct ma_settle *settle, const struct ma_area *area, uint32_t clock_ms,
		     struct ma_heap_state *state)
{
	struct filling filling = {settle, state};
	ma_live_scan_sampled(area, count_live, &filling);
	settle->until_sequence = __atomic_load_n(&area->sequence, __ATOMIC_ACQUIRE);
	settle->until_ms = clock_ms + MA_SETTLE_MS;
}

static void free_counted(struct ma_settle_slot *slot, struct ma_heap_state *state)
{
	ma_heap_state_free(state, &slot->sample);
	slot->sample.size_bytes = 0;
}

/* Which of two equal allocations at one address is meant does not matter: their weights are equal,
 * and what is freed is the one that was counted, with its window. */
static bool is_same(const struct ma_heap_sample *a, const struct ma_heap_sample *b)
{
	return a->size_bytes == b->size_bytes && a->site == b->site && a->rate == b->rate &&
	       a->domain == b->domain;
}

void ma_settle_event(struct ma_settle *settle, const struct ma_event *event,
		     struct ma_heap_state *state)
{
	struct ma_heap_sample sample = {.size_bytes = event->size_bytes,
					.site = event->site,
					.rate = event->rate,
					.domain = event->domain,
					.birth_ms = event->clock_ms,
					.coin = ma_halves_coin(event->address, event->clock_ms)};
	struct ma_settle_slot *slot = slot_of(settle, event->address);
	bool counted = slot->sample.size_bytes != 0;
	if (event->kind != MA_EVENT_ALLOC) {
		if (counted && is_same(&slot->sample, &sample))
			free_counted(slot, state);
		return;
	}
	if (counted && is_same(&slot->sample, &sample)) {
		ma_heap_state_allocated(state, &sample, event->clock_ms);
		return;
	}
	if (counted)
		free_counted(slot, state); /* its own free never came */
	take(settle, slot, event->address, &sample);
	ma_heap_state_alloc(state, &sample, event->clock_ms);
	if (settle->used > MA_SETTLE_SLOTS / 4 * 3)
		ma_settle_fini(settle);
}

void ma_settle_tick(struct ma_settle *settle, uint64_t next_sequence, uint32_t clock_ms)
{
	if (settle->slots && next_sequence > settle->until_sequence &&
	    (int32_t)(clock_ms - settle->until_ms) >= 0)
		ma_settle_fini(settle);
}

void ma_settle_fini(struct ma_settle *settle)
{
	free(settle->slots);
	*settle = (struct ma_settle){0};
}
