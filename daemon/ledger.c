/* SPDX-License-Identifier: MIT */
/* See ledger.h. */
#include "daemon/ledger.h"

#include <stdlib.h>

#include "daemon/estimate.h"

enum { FIRST_ROOM = 1024 };
#define MAX_ENTRIES (UINT32_C(1) << 22)

struct ma_ledger_entry {
	struct ma_heap_sample sample; /* of the first allocation; site and domain are everybody's */
	uint32_t birth_ms;            /* latest of its slot of time */
	struct ma_heap_sum sum;       /* of all */
};

void ma_ledger_begin(struct ma_ledger *ledger, uint32_t now_ms)
{
	ma_ledger_fini(ledger);
	ledger->span_ms = now_ms ? now_ms : 1;
}

/* Windows, too, are of one slot of time: all samples of a window have the same birth. */
static uint32_t slot_of(const struct ma_ledger *ledger, uint32_t birth_ms)
{
	uint64_t slot = (uint64_t)birth_ms * MA_LEDGER_BIRTHS / ledger->span_ms;
	return slot < MA_LEDGER_BIRTHS ? (uint32_t)slot : MA_LEDGER_BIRTHS - 1;
}

static struct ma_ledger_entry *entry_of(struct ma_ledger *ledger,
					const struct ma_heap_sample *sample, uint32_t slot)
{
	uint64_t key =
		(uint64_t)sample->site << 32 | (uint64_t)(sample->domain & 0xff) << 16 | slot;
	uint32_t at = ma_idmap_find(&ledger->index, key);
	if (at != MA_IDMAP_NONE)
		return &ledger->entries[at];
	if (ledger->count == MAX_ENTRIES)
		return NULL;
	if (ledger->count == ledger->room) {
		uint32_t room = ledger->room ? ledger->room * 2 : FIRST_ROOM;
		void *entries = realloc(ledger->entries, room * sizeof *ledger->entries);
		if (!entries)
			return NULL;
		ledger->entries = entries;
		ledger->room = room;
	}
	if (!ma_idmap_add(&ledger->index, key, ledger->count))
		return NULL;
	struct ma_ledger_entry *entry = &ledger->entries[ledger->count++];
	*entry = (struct ma_ledger_entry){.sample = *sample};
	return entry;
}

static void add_shared(struct ma_ledger *ledger, struct ma_ledger_entry *entry,
		       struct ma_ledger_birth *birth, const struct ma_heap_sample *sample,
		       const struct ma_weight *weight)
{
	/* Sites that are known by their domain alone must not be taken for one. */
	struct ma_shared_sample one = {.set = sample->site ? sample->site
							   : MA_HEAP_UNKNOWN(sample->domain),
				       .rate = sample->rate,
				       .start_ms = sample->birth_ms,
				       .weight = weight};
	ma_shared_windows_add(&ledger->windows, &one, &entry->sum.shared);
	one.set = MA_SHARED_WINDOWS_ALL;
	ma_shared_windows_add(&ledger->windows, &one, &birth->shared);
	if (sample->birth_ms > birth->latest_ms)
		birth->latest_ms = sample->birth_ms;
}

void ma_ledger_add(struct ma_ledger *ledger, const struct ma_heap_sample *sample)
{
	uint32_t slot = slot_of(ledger, sample->birth_ms);
	struct ma_ledger_entry *entry = entry_of(ledger, sample, slot);
	if (!entry) {
		ledger->left_out++;
		return;
	}
	struct ma_weight weight;
	ma_estimate_weight(sample->size_bytes, sample->rate, &weight);
	entry->sum.weight.bytes += weight.bytes;
	entry->sum.weight.count += weight.count;
	entry->sum.weight.bytes_variance += weight.bytes_variance;
	entry->sum.weight.count_variance += weight.count_variance;
	entry->sum.weight.bytes_third += weight.bytes_third;
	entry->sum.weight.count_third += weight.count_third;
	entry->sum.samples++;
	if (sample->birth_ms > entry->birth_ms)
		entry->birth_ms = sample->birth_ms;
	add_shared(ledger, entry, &ledger->births[slot], sample, &weight);
}

void ma_ledger_end(struct ma_ledger *ledger)
{
	ma_shared_windows_fini(&ledger->windows);
}

void ma_ledger_held(const struct ma_ledger *ledger, uint32_t latest_birth_ms,
		    struct ma_heap_state *held)
{
	for (uint32_t i = 0; i < ledger->count; i++) {
		const struct ma_ledger_entry *entry = &ledger->entries[i];
		if (entry->birth_ms <= latest_birth_ms)
			ma_heap_state_relive_sum(held, &entry->sample, &entry->sum);
	}
	for (int i = 0; i < MA_LEDGER_BIRTHS; i++)
		if (ledger->births[i].latest_ms <= latest_birth_ms)
			ma_heap_state_relive_shared(held, &ledger->births[i].shared);
}

void ma_ledger_fini(struct ma_ledger *ledger)
{
	free(ledger->entries);
	ma_idmap_fini(&ledger->index);
	ma_shared_windows_fini(&ledger->windows);
	*ledger = (struct ma_ledger){0};
}
