/* SPDX-License-Identifier: MIT */
/*
 * See shared_windows.h. Open addressing by set and window. A slot of which nothing is live stays
 * until the table is full, and is then left out of the next one, unless its window may still be
 * going on.
 */
#include "daemon/shared_windows.h"

#include <math.h>
#include <stdlib.h>

#include "proto/area.h"

enum { FIRST_ROOM = 256 };

struct ma_shared_window {
	uint64_t key; /* 0 = free */
	uint64_t live_bytes;
	uint64_t live_count;
	uint64_t allocated_bytes;
	uint64_t allocated_count;
	uint32_t live_samples;
};

/* The exponent is not 0, so that no key is. */
static uint64_t key_of(const struct ma_shared_sample *sample)
{
	return (uint64_t)sample->set << 36 | (uint64_t)MA_RATE_WINDOW(sample->rate) << 32 |
	       sample->start_ms;
}

static struct ma_shared_window *slot_of(struct ma_shared_window *slots, uint32_t room, uint64_t key)
{
	uint64_t hash = (key ^ key >> 32) * UINT64_C(0x9E3779B97F4A7C15);
	uint32_t at = (uint32_t)(hash >> 32) & (room - 1);
	while (slots[at].key != 0 && slots[at].key != key)
		at = (at + 1) & (room - 1);
	return &slots[at];
}

static bool is_wanted(const struct ma_shared_windows *windows, const struct ma_shared_window *slot)
{
	uint32_t start_ms = (uint32_t)slot->key;
	return slot->key != 0 &&
	       (slot->live_samples ||
		(uint64_t)start_ms + MA_SHARED_WINDOWS_PAST_MS > windows->newest_ms);
}

/* Moves what is still wanted into a table where it takes at most a quarter. */
static bool make_room(struct ma_shared_windows *windows)
{
	uint32_t wanted = 0, room = FIRST_ROOM;
	for (uint32_t i = 0; i < windows->room; i++)
		wanted += is_wanted(windows, &windows->slots[i]);
	while (room / 4 <= wanted && room < MA_SHARED_WINDOWS_ROOM)
		room *= 2;
	if (wanted > room / 8 * 5)
		return false;
	struct ma_shared_window *slots = calloc(room, sizeof *slots);
	if (!slots)
		return false;
	for (uint32_t i = 0; i < windows->room; i++)
		if (is_wanted(windows, &windows->slots[i]))
			*slot_of(slots, room, windows->slots[i].key) = windows->slots[i];
	free(windows->slots);
	windows->slots = slots;
	windows->room = room;
	windows->used = wanted;
	return true;
}

static bool has_window(const struct ma_shared_sample *sample)
{
	return !(sample->rate & MA_RATE_CHANCE) && MA_RATE_WINDOW(sample->rate) != 0;
}

static struct ma_shared_window *find(struct ma_shared_windows *windows,
				     const struct ma_shared_sample *sample)
{
	if (!windows->room)
		return NULL;
	struct ma_shared_window *slot = slot_of(windows->slots, windows->room, key_of(sample));
	return slot->key ? slot : NULL;
}

/* NULL: there is no room. To look for it takes long, so that is done once in a while. */
static struct ma_shared_window *find_or_make(struct ma_shared_windows *windows,
					     const struct ma_shared_sample *sample)
{
	struct ma_shared_window *slot = find(windows, sample);
	if (sample->start_ms > windows->newest_ms)
		windows->newest_ms = sample->start_ms;
	if (slot)
		return slot;
	if (windows->used >= windows->room / 4 * 3) {
		if (windows->refusals)
			windows->refusals--;
		else if (!make_room(windows))
			windows->refusals = windows->room / 4;
		if (windows->used >= windows->room / 4 * 3) {
			windows->left_out++;
			return NULL;
		}
	}
	slot = slot_of(windows->slots, windows->room, key_of(sample));
	slot->key = key_of(sample);
	windows->used++;
	return slot;
}

/* By how much K is larger with a weight than without it, the others of its window being `sum`. */
static double growth(const struct ma_shared_sample *sample, uint64_t sum, uint64_t weight)
{
	double closed = 1.0 - ldexp(1.0, -(int)MA_RATE_WINDOW(sample->rate));
	return 2.0 * closed * (double)sum * (double)weight;
}

static void add(const struct ma_shared_sample *sample, uint64_t *window_bytes,
		uint64_t *window_count, struct ma_shared *set)
{
	const struct ma_weight *weight = sample->weight;
	set->bytes_square += growth(sample, *window_bytes, weight->bytes);
	set->count_square += growth(sample, *window_count, weight->count);
	set->bytes += weight->bytes;
	set->count += weight->count;
	*window_bytes += weight->bytes;
	*window_count += weight->count;
}

void ma_shared_windows_add(struct ma_shared_windows *windows, const struct ma_shared_sample *sample,
			   struct ma_shared *live)
{
	struct ma_shared_window *slot = has_window(sample) ? find_or_make(windows, sample) : NULL;
	if (!slot)
		return;
	add(sample, &slot->live_bytes, &slot->live_count, live);
	slot->live_samples++;
}

static void take_units(uint64_t *sum, uint64_t part)
{
	*sum -= part < *sum ? part : *sum;
}

void ma_shared_windows_take(struct ma_shared_windows *windows,
			    const struct ma_shared_sample *sample, bool nothing_left,
			    struct ma_shared *live)
{
	const struct ma_weight *weight = sample->weight;
	struct ma_shared_window *slot = has_window(sample) ? find(windows, sample) : NULL;
	if (slot && slot->live_samples) {
		slot->live_samples--;
		take_units(&slot->live_bytes, slot->live_samples ? weight->bytes : UINT64_MAX);
		take_units(&slot->live_count, slot->live_samples ? weight->count : UINT64_MAX);
		take_units(&live->bytes, weight->bytes);
		take_units(&live->count, weight->count);
		live->bytes_square -= growth(sample, slot->live_bytes, weight->bytes);
		live->count_square -= growth(sample, slot->live_count, weight->count);
	}
	/* Rounding must not leave a rest where no sample is left, nor anything negative. */
	if (nothing_left)
		*live = (struct ma_shared){0};
	live->bytes_square = fmax(0, live->bytes_square);
	live->count_square = fmax(0, live->count_square);
}

void ma_shared_windows_allocated(struct ma_shared_windows *windows,
				 const struct ma_shared_sample *sample, struct ma_shared *allocated)
{
	struct ma_shared_window *slot = has_window(sample) ? find_or_make(windows, sample) : NULL;
	if (slot)
		add(sample, &slot->allocated_bytes, &slot->allocated_count, allocated);
}

void ma_shared_windows_forget(struct ma_shared_windows *windows)
{
	for (uint32_t i = 0; i < windows->room; i++) {
		struct ma_shared_window *slot = &windows->slots[i];
		slot->live_bytes = 0;
		slot->live_count = 0;
		slot->live_samples = 0;
	}
}

void ma_shared_windows_fini(struct ma_shared_windows *windows)
{
	free(windows->slots);
	*windows = (struct ma_shared_windows){0};
}

void ma_shared_add(struct ma_shared *a, const struct ma_shared *b)
{
	a->bytes_square += b->bytes_square;
	a->count_square += b->count_square;
	a->bytes += b->bytes;
	a->count += b->count;
}

static double deviation(double square, uint64_t part, double square_of_all, uint64_t all)
{
	double share = all ? fmin(1, (double)part / (double)all) : 0;
	return fmax(sqrt(square), share * sqrt(square_of_all));
}

struct ma_shared_deviation ma_shared_deviation_of(const struct ma_shared *set,
						  const struct ma_shared *all)
{
	return (struct ma_shared_deviation){
		.bytes = deviation(set->bytes_square, set->bytes, all->bytes_square, all->bytes) /
			 MA_BYTES_UNITS,
		.count = deviation(set->count_square, set->count, all->count_square, all->count) /
			 MA_COUNT_UNITS,
	};
}
