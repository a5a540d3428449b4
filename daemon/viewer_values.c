/* SPDX-License-Identifier: MIT */
/* Readings of all sites; see viewer_values.h. */
#include "daemon/viewer_values.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"
#include "daemon/viewer_index.h"

enum {
	BASE_MS = 2000,        /* age at which a base of rates is replaced: they span 2 to 4 s */
	STALE_BASE_MS = 10000, /* nobody looked for so long: rates begin anew */
	LEAST_SPAN_MS = 300,   /* a rate over less is noise */
	HELD_MS = 1000,
	HELD_SHARE = 30, /* what is held may take one such part of the time */
};

static bool set_room(void **array, uint32_t *count, uint32_t wanted, size_t element_bytes)
{
	if (*count >= wanted)
		return true;
	void *memory = realloc(*array, wanted * element_bytes);
	if (!memory)
		return false;
	memset((char *)memory + *count * element_bytes, 0, (wanted - *count) * element_bytes);
	*array = memory;
	*count = wanted;
	return true;
}

static void read_held(struct ma_viewer_values *values, const struct ma_session *session,
		      uint32_t count, uint64_t now_ms)
{
	if (now_ms < values->held_due_ms)
		return;
	struct ma_session_held *held = malloc(sizeof *held);
	if (!held ||
	    !set_room((void **)&values->held, &values->held_count, count, sizeof *values->held)) {
		free(held);
		return;
	}
	uint64_t start_ns = ma_clock_monotonic_ns();
	ma_session_held(session, ma_session_clock_ms(session) / 2, held);
	for (uint32_t slot = 0; slot < values->held_count; slot++) {
		struct ma_site_view site;
		ma_heap_state_view(&held->heap, ma_viewer_index_id(slot), &site);
		values->held[slot] = (float)site.live_bytes;
	}
	ma_session_held_fini(held);
	free(held);
	uint64_t took_ms = (ma_clock_monotonic_ns() - start_ns) / 1000000;
	uint64_t pause_ms = took_ms * HELD_SHARE > HELD_MS ? took_ms * HELD_SHARE : HELD_MS;
	values->held_due_ms = now_ms + pause_ms;
}

/* Puts the newer base in the place of the older one, and the older one's memory in its. */
static void turn_bases(struct ma_viewer_values *values, uint64_t now_ms)
{
	struct ma_viewer_base spare = values->older;
	if (now_ms - values->newer.time_ms < BASE_MS && values->newer.count)
		return;
	values->older = values->newer;
	values->newer = spare;
	values->newer.time_ms = 0;
}

static double rate_of(const struct ma_viewer_base *base, uint32_t slot, double allocated_bytes,
		      uint64_t now_ms)
{
	if (!base->time_ms || now_ms - base->time_ms < LEAST_SPAN_MS)
		return 0;
	double before = slot < base->count ? base->allocated_bytes[slot] : 0;
	double seconds = (double)(now_ms - base->time_ms) / 1000;
	return allocated_bytes > before ? (allocated_bytes - before) / seconds : 0;
}

static bool read_slots(struct ma_viewer_values *values, const struct ma_heap_view *view,
		       uint32_t count, uint64_t now_ms)
{
	if (now_ms - values->now_ms > STALE_BASE_MS)
		values->older.count = values->newer.count = 0;
	turn_bases(values, now_ms);
	struct ma_viewer_base *newer = &values->newer;
	const struct ma_viewer_base *base = values->older.count ? &values->older : newer;
	bool fill = newer->time_ms == 0;
	if (fill) {
		newer->count = 0;
		if (!set_room((void **)&newer->allocated_bytes, &newer->count, count,
			      sizeof *newer->allocated_bytes))
			return false;
	}
	for (uint32_t slot = 0; slot < count; slot++) {
		struct ma_site_view site;
		ma_heap_view_site(view, ma_viewer_index_id(slot), &site);
		values->now.values[slot] = (struct ma_viewer_value){
			.live_bytes = (float)site.live_bytes,
			.live_variance = (float)site.live.bytes_variance,
			.live_third = (float)site.live.bytes_third,
			.live_shared = (float)site.live.bytes_shared,
			.held_bytes = slot < values->held_count ? values->held[slot] : 0,
			.peak_bytes = (float)site.peak_bytes,
			.live_count = (float)site.live_count,
			.rate = (float)rate_of(base, slot, site.allocated_bytes, now_ms),
		};
		if (fill)
			newer->allocated_bytes[slot] = site.allocated_bytes;
	}
	if (fill)
		newer->time_ms = now_ms;
	return true;
}

bool ma_viewer_values_read(struct ma_viewer_values *values, const struct ma_session *session,
			   uint64_t now_ms)
{
	if (values->now.count && now_ms - values->now_ms < MA_VIEWER_FRESH_MS)
		return true;
	struct ma_heap_view view = ma_session_view(session);
	uint32_t count = ma_viewer_index_slots(&view);
	if (!set_room((void **)&values->now.values, &values->now.count, count,
		      sizeof *values->now.values))
		return false;
	read_held(values, session, count, now_ms);
	if (!read_slots(values, &view, count, now_ms))
		return false;
	values->now_ms = now_ms;
	values->now.time_ns = ma_session_time_ns(session, ma_session_clock_ms(session));
	return true;
}

static void drop_mark(struct ma_viewer_mark *mark)
{
	free(mark->reading.values);
	*mark = (struct ma_viewer_mark){0};
}

static struct ma_viewer_mark *place_for_mark(struct ma_viewer_values *values, uint64_t now_ms)
{
	struct ma_viewer_mark *oldest = &values->marks[0];
	for (int i = 0; i < MA_VIEWER_MARKS; i++) {
		struct ma_viewer_mark *mark = &values->marks[i];
		if (mark->id && now_ms - mark->used_ms > MA_VIEWER_MARK_MS)
			drop_mark(mark);
		if (!mark->id)
			oldest = mark;
		else if (oldest->id && mark->used_ms < oldest->used_ms)
			oldest = mark;
	}
	drop_mark(oldest);
	return oldest;
}

uint64_t ma_viewer_values_mark(struct ma_viewer_values *values, uint64_t now_ms)
{
	size_t bytes = values->now.count * sizeof *values->now.values;
	struct ma_viewer_value *copy = malloc(bytes);
	if (!copy)
		return 0;
	memcpy(copy, values->now.values, bytes);
	/* The time makes ids of an earlier daemon different from ours. */
	uint64_t id = ma_clock_realtime_ns();
	if (id <= values->last_mark)
		id = values->last_mark + 1;
	values->last_mark = id;
	struct ma_viewer_mark *mark = place_for_mark(values, now_ms);
	*mark = (struct ma_viewer_mark){
		.id = id,
		.used_ms = now_ms,
		.reading = {copy, values->now.count, values->now.time_ns},
	};
	return id;
}

const struct ma_viewer_reading *ma_viewer_values_find(struct ma_viewer_values *values, uint64_t id,
						      uint64_t now_ms)
{
	for (int i = 0; id && i < MA_VIEWER_MARKS; i++) {
		struct ma_viewer_mark *mark = &values->marks[i];
		if (mark->id != id)
			continue;
		mark->used_ms = now_ms;
		return &mark->reading;
	}
	return NULL;
}

void ma_viewer_values_fini(struct ma_viewer_values *values)
{
	for (int i = 0; i < MA_VIEWER_MARKS; i++)
		drop_mark(&values->marks[i]);
	free(values->now.values);
	free(values->older.allocated_bytes);
	free(values->newer.allocated_bytes);
	free(values->held);
	*values = (struct ma_viewer_values){0};
}
