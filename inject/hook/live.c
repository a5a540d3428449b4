/* SPDX-License-Identifier: MIT */
/*
 * While few addresses are in, they are in the front buckets: two pages of memory instead of a
 * thousand, of which each visit would meet another one, cold. Beyond that, two-choice hashing: an
 * address goes into the emptier of two buckets of eight, so that buckets fill evenly, and a look-up
 * reads three cache lines at most. A slot is claimed by making its address
 * MA_LIVE_BUSY; a thread that dies there costs that one slot.
 */
#include "inject/hook/live.h"

#define ALL_DOMAINS UINT32_MAX

static uint64_t *find(struct ma_live *live, uint64_t address, struct ma_live_entry **entry)
{
	uint64_t hash = ma_address_hash(address);

	for (int choice = 0; choice < MA_LIVE_CHOICES; choice++) {
		uint32_t bucket = ma_live_bucket(hash, choice);

		for (int way = 0; way < MA_LIVE_WAYS; way++) {
			uint64_t *slot = &live->address[bucket][way];

			if (__atomic_load_n(slot, __ATOMIC_ACQUIRE) != address)
				continue;
			*entry = &live->entry[bucket][way];
			return slot;
		}
	}
	return NULL;
}

bool ma_live_take(struct ma_live *live, uint64_t address, uint32_t domains,
		  struct ma_live_entry *taken)
{
	struct ma_live_entry *entry;
	uint64_t expected = address;

	if (address <= MA_LIVE_BUSY)
		return false;
	uint64_t *slot = find(live, address, &entry);
	if (!slot || !(domains >> (entry->domain & 31) & 1))
		return false;
	if (!__atomic_compare_exchange_n(slot, &expected, MA_LIVE_BUSY, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	*taken = *entry;
	__atomic_store_n(slot, 0, __ATOMIC_RELEASE);
	return true;
}

/* Free slots of a bucket; *slot is one of them. */
static int room(struct ma_live *live, uint32_t bucket, int *way)
{
	int free_slots = 0;

	for (int i = MA_LIVE_WAYS - 1; i >= 0; i--)
		if (!__atomic_load_n(&live->address[bucket][i], __ATOMIC_RELAXED)) {
			*way = i;
			free_slots++;
		}
	return free_slots;
}

/* The bucket to put an address into, and a free slot of it. False when there is none. */
static bool choose(struct ma_live *live, uint64_t hash, uint32_t *bucket, int *way)
{
	uint32_t other = ma_live_bucket(hash, 2);
	int other_way, rooms;

	*bucket = ma_live_bucket(hash, 0);
	if (room(live, *bucket, way))
		return true;
	*bucket = ma_live_bucket(hash, 1);
	rooms = room(live, *bucket, way);
	if (room(live, other, &other_way) > rooms) {
		*bucket = other;
		*way = other_way;
		return true;
	}
	return rooms != 0;
}

/* Claims a slot. False when all buckets of this hash are full. */
static bool claim(struct ma_live *live, uint64_t hash, uint32_t *bucket, int *way)
{
	uint64_t nothing;

	do {
		if (!choose(live, hash, bucket, way))
			return false;
		nothing = 0;
	} while (!__atomic_compare_exchange_n(&live->address[*bucket][*way], &nothing, MA_LIVE_BUSY,
					      false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED));
	return true;
}

int ma_live_enter(struct ma_live *live, uint64_t address, const struct ma_live_entry *entry,
		  struct ma_live_entry *old)
{
	bool replaces = old && ma_live_take(live, address, ALL_DOMAINS, old);
	int outcome = replaces ? MA_LIVE_REPLACED : 0;
	uint32_t bucket;
	int way;

	if (!claim(live, ma_address_hash(address), &bucket, &way))
		return outcome;
	live->entry[bucket][way] = *entry;
	__atomic_store_n(&live->address[bucket][way], address, __ATOMIC_RELEASE);
	return outcome | MA_LIVE_ENTERED;
}
