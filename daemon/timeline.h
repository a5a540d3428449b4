/* SPDX-License-Identifier: MIT */
/*
 * The past of a session, in bounded memory however long it lasts: one point a second, and older
 * points merged two by two, so that the resolution of a moment is a few percent of its age. Each
 * point also holds the values of the largest sites.
 *
 * Points stand in tiers of 1, 2, 4 ... seconds; a tier that has more than MA_TIMELINE_TIER points
 * merges its two oldest into the next one. A merged point keeps the newer one's values, for every
 * value is of the end of its interval, and the larger maximum.
 */
#ifndef MA_DAEMON_TIMELINE_H
#define MA_DAEMON_TIMELINE_H

#include <stdint.h>

#include "daemon/heap_view.h"

enum {
	MA_TIMELINE_TIER = 48,
	MA_TIMELINE_TIERS = 24, /* 2^24 s * 48: decades */
	MA_TIMELINE_SITES = 500,
};

/* Values of a site at the end of a point's interval. */
struct ma_timeline_value {
	float live_bytes;
	float allocated_bytes;
};

struct ma_timeline_point {
	uint64_t time_ns; /* CLOCK_REALTIME, end of the interval */
	double live_bytes;
	double live_bytes_max;
	double allocated_bytes;
	uint64_t rss_bytes;
	uint64_t swap_bytes;
	uint64_t cgroup_bytes;
	uint64_t cgroup_limit_bytes;
	uint64_t minor_faults;
	uint64_t major_faults;
	uint64_t number; /* of the second that ended it, for ma_timeline_series */
	int tier;
	struct ma_timeline_value *values; /* of the first value_count site slots; may be NULL */
	uint32_t value_count;
};

/* A site whose values the points hold. */
struct ma_timeline_site {
	uint32_t site;
	uint64_t since; /* number of the first point that is about it */
};

/* Zero-initialise, then use. */
struct ma_timeline {
	struct ma_timeline_point *points; /* oldest first */
	uint32_t count;
	uint32_t room;
	uint32_t in_tier[MA_TIMELINE_TIERS];
	uint64_t number; /* of the next point */
	struct ma_timeline_site sites[MA_TIMELINE_SITES];
	uint32_t site_count;
};

/*
 * Adds the point of this second: the caller filled what is not about sites in *point (values and
 * tier are set here); the sites' values are read from view. No memory: the point is left out.
 * Daemon loop.
 */
void ma_timeline_add(struct ma_timeline *timeline, const struct ma_timeline_point *point,
		     const struct ma_heap_view *view);

/* The series of site slot `index`: its values from point *first on; 0 = there are none. Returns how
 * many points have one; value(k) is ma_timeline_value_at(timeline, index, *first + k). */
uint32_t ma_timeline_series(const struct ma_timeline *timeline, uint32_t index, uint32_t *first);
struct ma_timeline_value ma_timeline_value_at(const struct ma_timeline *timeline, uint32_t index,
					      uint32_t point);

void ma_timeline_fini(struct ma_timeline *timeline);

#endif
