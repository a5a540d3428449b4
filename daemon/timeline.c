/* SPDX-License-Identifier: MIT */
/* See timeline.h. */
#include "daemon/timeline.h"

#include <stdlib.h>
#include <string.h>

enum {
	MAX_POINTS = (MA_TIMELINE_TIER + 1) * MA_TIMELINE_TIERS,
	REVIEW_SECONDS = 10, /* between two looks for larger sites */
};

#define TAKE_OVER 1.25F /* how much larger than a followed site another must be to replace it */

static bool make_room(struct ma_timeline *timeline)
{
	if (timeline->count < timeline->room)
		return true;
	if (timeline->room >= MAX_POINTS)
		return false;
	uint32_t room = timeline->room ? timeline->room * 2 : 64;
	struct ma_timeline_point *points = realloc(timeline->points, room * sizeof *points);
	if (!points)
		return false;
	timeline->points = points;
	timeline->room = room;
	return true;
}

/* Merges points at and at + 1. */
static void merge(struct ma_timeline *timeline, uint32_t at)
{
	struct ma_timeline_point *older = &timeline->points[at];
	struct ma_timeline_point *newer = older + 1;
	timeline->in_tier[newer->tier] -= 2;
	newer->tier++;
	timeline->in_tier[newer->tier]++;
	if (older->live_bytes_max > newer->live_bytes_max)
		newer->live_bytes_max = older->live_bytes_max;
	free(older->values);
	memmove(older, newer, (timeline->count - at - 1) * sizeof *older);
	timeline->count--;
}

static void thin_out(struct ma_timeline *timeline)
{
	for (int tier = 0; tier + 1 < MA_TIMELINE_TIERS; tier++) {
		if (timeline->in_tier[tier] <= MA_TIMELINE_TIER)
			return;
		/* Tiers stand from the highest to the lowest: this one begins behind all higher. */
		uint32_t at = 0;
		for (int higher = tier + 1; higher < MA_TIMELINE_TIERS; higher++)
			at += timeline->in_tier[higher];
		merge(timeline, at);
	}
}

static float live_of(const struct ma_heap_view *view, uint32_t site)
{
	struct ma_site_view values;
	return ma_heap_view_site(view, site, &values) ? (float)values.live_bytes : 0;
}

static uint32_t smallest(const float *scores, uint32_t count)
{
	uint32_t at = 0;
	for (uint32_t i = 1; i < count; i++) {
		if (scores[i] < scores[at])
			at = i;
	}
	return at;
}

static void follow(struct ma_timeline *timeline, uint32_t slot, uint32_t site)
{
	timeline->sites[slot] = (struct ma_timeline_site){.site = site, .since = timeline->number};
}

static bool is_followed(const struct ma_timeline *timeline, uint32_t site)
{
	for (uint32_t i = 0; i < timeline->site_count; i++) {
		if (timeline->sites[i].site == site)
			return true;
	}
	return false;
}

/* Follows sites that have become larger than the smallest that is followed. */
static void choose_sites(struct ma_timeline *timeline, const struct ma_heap_view *view)
{
	float scores[MA_TIMELINE_SITES];
	for (uint32_t i = 0; i < timeline->site_count; i++)
		scores[i] = live_of(view, timeline->sites[i].site);
	uint32_t least =
		timeline->site_count == MA_TIMELINE_SITES ? smallest(scores, MA_TIMELINE_SITES) : 0;
	uint32_t count = ma_heap_view_count(view);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t site = ma_heap_view_id(view, i);
		struct ma_site_view values;
		if (!ma_heap_view_site(view, site, &values))
			continue;
		float live = (float)values.live_bytes;
		bool full = timeline->site_count == MA_TIMELINE_SITES;
		if (full && live <= scores[least] * TAKE_OVER)
			continue;
		if (is_followed(timeline, site))
			continue;
		uint32_t slot = full ? least : timeline->site_count++;
		follow(timeline, slot, site);
		scores[slot] = live;
		if (timeline->site_count == MA_TIMELINE_SITES)
			least = smallest(scores, MA_TIMELINE_SITES);
	}
}

static struct ma_timeline_value *read_values(const struct ma_timeline *timeline,
					     const struct ma_heap_view *view)
{
	struct ma_timeline_value *values = NULL;
	if (timeline->site_count)
		values = malloc(timeline->site_count * sizeof *values);
	for (uint32_t i = 0; values && i < timeline->site_count; i++) {
		struct ma_site_view site;
		ma_heap_view_site(view, timeline->sites[i].site, &site);
		values[i] = (struct ma_timeline_value){
			.live_bytes = (float)site.live_bytes,
			.allocated_bytes = (float)site.allocated_bytes,
		};
	}
	return values;
}

void ma_timeline_add(struct ma_timeline *timeline, const struct ma_timeline_point *point,
		     const struct ma_heap_view *view)
{
	if (!make_room(timeline))
		return;
	/* While every site has a place the look is cheap; later it costs a pass over all of them.
	 */
	if (timeline->site_count < MA_TIMELINE_SITES || timeline->number % REVIEW_SECONDS == 0)
		choose_sites(timeline, view);
	struct ma_timeline_point *added = &timeline->points[timeline->count++];
	*added = *point;
	added->number = timeline->number++;
	added->tier = 0;
	added->values = read_values(timeline, view);
	added->value_count = added->values ? timeline->site_count : 0;
	timeline->in_tier[0]++;
	thin_out(timeline);
}

uint32_t ma_timeline_series(const struct ma_timeline *timeline, uint32_t index, uint32_t *first)
{
	uint32_t at = timeline->count;
	while (at > 0 && timeline->points[at - 1].number >= timeline->sites[index].since)
		at--;
	*first = at;
	return timeline->count - at;
}

struct ma_timeline_value ma_timeline_value_at(const struct ma_timeline *timeline, uint32_t index,
					      uint32_t point)
{
	const struct ma_timeline_point *at = &timeline->points[point];
	if (index >= at->value_count)
		return (struct ma_timeline_value){0, 0};
	return at->values[index];
}

void ma_timeline_fini(struct ma_timeline *timeline)
{
	for (uint32_t i = 0; i < timeline->count; i++)
		free(timeline->points[i].values);
	free(timeline->points);
	*timeline = (struct ma_timeline){0};
}
