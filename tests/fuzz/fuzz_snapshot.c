/* SPDX-License-Identifier: MIT */
/*
 * A snapshot file. What is accepted is walked the way a report does, following every index; packed
 * and read again it must be accepted again, with as much in it.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "proto/snapshot.h"

static size_t measure(const Memattach__Profile *profile, int64_t index)
{
	MUST(index >= 0 && (uint64_t)index < profile->n_string_table);
	return strlen(ma_snapshot_string(profile, index));
}

static size_t follow_location(const Memattach__Profile *profile, uint64_t id)
{
	size_t seen = 0;
	const Memattach__Location *location = profile->location[id - 1];
	if (location->mapping_id)
		seen += measure(profile, profile->mapping[location->mapping_id - 1]->filename);
	for (size_t i = 0; i < location->n_line; i++) {
		const Memattach__Function *function =
			profile->function[location->line[i]->function_id - 1];
		seen += measure(profile, function->name) + measure(profile, function->filename);
	}
	return seen;
}

static void follow(const Memattach__Profile *profile, const struct ma_snapshot_state *state)
{
	int64_t sums[MA_VALUE_COUNT] = {0};
	size_t seen = 0;
	for (size_t i = 0; i < profile->n_sample; i++) {
		const Memattach__Sample *sample = profile->sample[i];
		for (size_t j = 0; j < MA_VALUE_COUNT; j++)
			sums[j] += sample->value[j]; /* a sanitizer sees an overflow */
		for (size_t j = 0; j < sample->n_location_id; j++)
			seen += follow_location(profile, sample->location_id[j]);
		for (size_t j = 0; j < sample->n_label; j++)
			seen += measure(profile, sample->label[j]->key) +
				measure(profile, sample->label[j]->str);
	}
	const Memattach__Heap *heap = profile->heap;
	MUST(!state->heap_trusted || (heap && heap->n_site == profile->n_sample));
	for (size_t i = 0; heap && i < heap->n_series; i++) {
		const Memattach__Series *series = heap->series[i];
		MUST(series->sample_index < profile->n_sample);
		for (size_t j = 0; j < series->n_live_bytes; j++)
			seen += heap->timeline[series->first_point + j]->rss_bytes != 0;
	}
	MUST(state->part >= 0 && state->part <= 1 && seen < SIZE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Memattach__Profile *profile, *again;
	struct ma_snapshot_state state;
	struct ma_error error;
	if (ma_snapshot_parse(data, size, &profile, &state, &error) != 0) {
		MUST(profile == NULL && error.what[0]);
		return 0;
	}
	follow(profile, &state);
	uint8_t *bytes;
	size_t packed;
	/* A heap that is not trusted has no site details: packing would vouch for what is left. */
	if (!state.heap_trusted && profile->heap) {
		memattach__heap__free_unpacked(profile->heap, NULL);
		profile->heap = NULL;
	}
	MUST(ma_snapshot_pack(profile, &bytes, &packed, &error) == 0);
	MUST(ma_snapshot_parse(bytes, packed, &again, &state, &error) == 0);
	MUST(!state.cut_short && again->n_sample == profile->n_sample);
	MUST(state.heap_trusted == (profile->heap != NULL));
	follow(again, &state);
	free(bytes);
	memattach__profile__free_unpacked(again, NULL);
	memattach__profile__free_unpacked(profile, NULL);
	return 0;
}
