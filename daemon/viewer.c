/* SPDX-License-Identifier: MIT */
/* One answer of the live view; see viewer.h. */
#include "daemon/viewer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"
#include "daemon/viewer_answer.h"
#include "daemon/snapshot_builder.h"

enum {
	WORK_NS = 12000000,       /* taking in new sites and matching lines, in one answer */
	PSS_MS = 5000,            /* between two walks of the target's page tables ... */
	PSS_SHARE = 200,          /* ... which take at most one such part of the time */
	UNUSED_MS = 60000,        /* nobody looked for so long: index and readings are given up */
	LINES_BETWEEN_LOOKS = 64, /* at the clock */
};

static struct ma_viewer *viewer_of(struct ma_session *session)
{
	if (session->viewer)
		return session->viewer;
	struct ma_viewer *viewer = calloc(1, sizeof *viewer);
	for (int native = 0; viewer && native < 2; native++) {
		if (!ma_viewer_index_init(&viewer->index[native], session, native != 0)) {
			ma_viewer_destroy(viewer);
			return NULL;
		}
	}
	session->viewer = viewer;
	return viewer;
}

void ma_viewer_destroy(struct ma_viewer *viewer)
{
	if (!viewer)
		return;
	for (int native = 0; native < 2; native++) {
		ma_viewer_index_fini(&viewer->index[native]);
		for (int i = 0; i < MA_VIEWER_FILTERS; i++)
			free(viewer->filters[native][i].matches);
	}
	ma_viewer_values_fini(&viewer->values);
	free(viewer);
}

static bool has_marks(const struct ma_viewer *viewer)
{
	for (int i = 0; i < MA_VIEWER_MARKS; i++)
		if (viewer->values.marks[i].id)
			return true;
	return false;
}

void ma_viewer_tidy(struct ma_session *session, uint64_t now_ms)
{
	struct ma_viewer *viewer = session->viewer;
	if (!viewer || now_ms - viewer->used_ms < UNUSED_MS)
		return;
	/* A viewer that was suspended may come back to its reference point for a while. */
	if (has_marks(viewer) && now_ms - viewer->used_ms < MA_VIEWER_MARK_MS)
		return;
	ma_viewer_destroy(viewer);
	session->viewer = NULL;
}

/* The filter of that pattern: one that is known, else in the place of the one not used longest. */
static struct ma_viewer_filter *find_filter(struct ma_viewer_filter filters[MA_VIEWER_FILTERS],
					    const char *source, uint64_t now_ms)
{
	struct ma_viewer_filter *oldest = &filters[0];
	for (int i = 0; i < MA_VIEWER_FILTERS; i++) {
		struct ma_viewer_filter *filter = &filters[i];
		if (strcmp(filter->source, source) == 0) {
			filter->used_ms = now_ms;
			return filter;
		}
		if (filter->used_ms < oldest->used_ms)
			oldest = filter;
	}
	oldest->used_ms = now_ms;
	oldest->count = 0;
	oldest->source[0] = 0;
	if (ma_pattern_compile(&oldest->pattern, source, &oldest->error))
		memcpy(oldest->source, source, strlen(source) + 1);
	return oldest;
}

/* What a pattern is matched against: "Cache.put /srv/app/cache.py:88". */
static bool matches(const struct ma_viewer_filter *filter, const struct ma_viewer_line *line)
{
	char text[2048];
	if (line->line > 0)
		snprintf(text, sizeof text, "%.900s %.1100s:%d", line->function, line->file,
			 line->line);
	else
		snprintf(text, sizeof text, "%.900s %.1100s", line->function, line->file);
	return ma_pattern_matches(&filter->pattern, text);
}

/* Matches the lines that are new to the filter. Returns the share that is matched. */
static double match_lines(struct ma_viewer_filter *filter, const struct ma_viewer_index *index,
			  uint64_t deadline_ns)
{
	if (filter->room < index->line_count) {
		uint8_t *larger = realloc(filter->matches, index->line_room);
		if (!larger)
			return 1;
		filter->matches = larger;
		filter->room = index->line_room;
	}
	while (filter->count < index->line_count) {
		filter->matches[filter->count] = matches(filter, &index->lines[filter->count]);
		if (++filter->count % LINES_BETWEEN_LOOKS == 0 &&
		    ma_clock_worked_ns() > deadline_ns)
			break;
	}
	return (double)filter->count / index->line_count;
}

/* Head figures are those of a snapshot without sites. */
static bool fill_head(struct ma_viewer_answer *answer, uint64_t now_ms)
{
	struct ma_viewer *viewer = answer->viewer;
	struct ma_session *session = answer->session;
	bool with_pss = session->state == MA_SESSION_TRACKING && now_ms >= viewer->pss_due_ms;
	const struct ma_snapshot_query query = {
		.held_age_ms = 1, .without_series = true, .quick = !with_pss};
	struct ma_session_held *nothing = calloc(1, sizeof *nothing);
	Memattach__Profile profile = MEMATTACH__PROFILE__INIT;
	struct ma_snapshot snapshot = {.pool = *answer->pool, .profile = &profile};
	if (!nothing)
		return false;
	uint64_t start_ns = ma_clock_monotonic_ns();
	ma_snapshot_fill_heap(&snapshot, session, &query, nothing, NULL);
	*answer->pool = snapshot.pool;
	free(nothing);
	const Memattach__Heap *heap = profile.heap;
	if (!heap || !heap->memory)
		return false;
	if (with_pss) {
		uint64_t took_ms = (ma_clock_monotonic_ns() - start_ns) / 1000000;
		uint64_t pause_ms = took_ms * PSS_SHARE > PSS_MS ? took_ms * PSS_SHARE : PSS_MS;
		viewer->pss_due_ms = now_ms + pause_ms;
		viewer->pss_bytes = heap->memory->pss_bytes;
	}
	heap->memory->pss_bytes = viewer->pss_bytes;
	Memattach__LiveView *view = answer->view;
	view->process = heap->process;
	view->memory = heap->memory;
	view->totals = heap->totals;
	view->loss = heap->loss;
	if (!answer->query->without_timeline) {
		view->n_timeline = heap->n_timeline;
		view->timeline = heap->timeline;
	}
	return true;
}

/* Makes the mark that is asked for, and finds those that are named. */
static void find_marks(struct ma_viewer_answer *answer, uint64_t now_ms)
{
	struct ma_viewer_values *values = &answer->viewer->values;
	const Memattach__LiveQuery *query = answer->query;
	Memattach__LiveView *view = answer->view;
	if (query->mark)
		view->mark = ma_viewer_values_mark(values, now_ms);
	answer->reference = ma_viewer_values_find(values, query->reference, now_ms);
	answer->shown = ma_viewer_values_find(values, query->shown, now_ms);
	if (answer->reference) {
		view->reference = query->reference;
		view->reference_time_nanos = answer->reference->time_ns;
	}
	if (answer->shown)
		view->shown = query->shown;
	else
		answer->shown = &values->now;
	view->shown_time_nanos = answer->shown->time_ns;
}

static bool needs_tree(Memattach__LiveQuery__View view)
{
	return view == MEMATTACH__LIVE_QUERY__VIEW__TREE ||
	       view == MEMATTACH__LIVE_QUERY__VIEW__FLAME ||
	       view == MEMATTACH__LIVE_QUERY__VIEW__STACKS;
}

/* Brings index and filter up to date, as far as there is time. */
static void prepare(struct ma_viewer_answer *answer, uint64_t now_ms)
{
	struct ma_session *session = answer->session;
	const Memattach__LiveQuery *query = answer->query;
	struct ma_heap_view heap = ma_session_view(session);
	uint64_t deadline_ns = ma_clock_worked_ns() + WORK_NS;
	/* Lines of large functions are known only after this. */
	if (session->state == MA_SESSION_TRACKING)
		ma_names_fetch_tables(&session->names, ma_names_read_process, &session->pid);
	answer->view->indexed =
		ma_viewer_index_advance(answer->index, &heap, needs_tree(query->view), deadline_ns);
	if (!query->filter[0])
		return;
	struct ma_viewer_filter *filter =
		find_filter(answer->viewer->filters[query->native ? 1 : 0], query->filter, now_ms);
	if (filter->error) {
		answer->view->filter_error = (char *)filter->error;
		return;
	}
	double matched = match_lines(filter, answer->index, deadline_ns);
	if (matched < answer->view->indexed)
		answer->view->indexed = matched;
	answer->filter = filter;
}

static bool fill_rows(struct ma_viewer_answer *answer)
{
	static bool (*const fills[])(struct ma_viewer_answer *) = {
		[MEMATTACH__LIVE_QUERY__VIEW__HEAD] = NULL,
		[MEMATTACH__LIVE_QUERY__VIEW__LINES] = ma_viewer_fill_lines,
		[MEMATTACH__LIVE_QUERY__VIEW__TREE] = ma_viewer_fill_tree,
		[MEMATTACH__LIVE_QUERY__VIEW__FLAME] = ma_viewer_fill_flame,
		[MEMATTACH__LIVE_QUERY__VIEW__THREADS] = NULL,
		[MEMATTACH__LIVE_QUERY__VIEW__STACKS] = ma_viewer_fill_stacks,
	};
	unsigned view = (unsigned)answer->query->view;
	if (view >= sizeof fills / sizeof fills[0] || !fills[view])
		return true;
	return fills[view](answer);
}

int ma_viewer_answer(struct ma_session *session, const Memattach__LiveQuery *query,
		     struct ma_pool *pool, Memattach__LiveView **view, struct ma_error *error)
{
	uint64_t now_ms = ma_clock_monotonic_ns() / 1000000;
	struct ma_viewer *viewer = viewer_of(session);
	struct ma_viewer_answer answer = {
		.session = session,
		.viewer = viewer,
		.index = viewer ? &viewer->index[query->native ? 1 : 0] : NULL,
		.query = query,
		.pool = pool,
		.view = ma_pool_alloc(pool, 1, sizeof *answer.view),
	};
	bool done = viewer && answer.view;
	if (done) {
		viewer->used_ms = now_ms;
		*answer.view = (Memattach__LiveView)MEMATTACH__LIVE_VIEW__INIT;
		answer.view->time_nanos = ma_session_time_ns(session, ma_session_clock_ms(session));
		answer.view->index = answer.index->id;
		done = ma_viewer_values_read(&viewer->values, session, now_ms);
	}
	if (done) {
		find_marks(&answer, now_ms);
		prepare(&answer, now_ms);
		done = fill_head(&answer, now_ms) && ma_viewer_fill_threads(&answer) &&
		       fill_rows(&answer);
	}
	*view = answer.view;
	if (done && !pool->failed)
		return 0;
	return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "showing the heap of process %d",
			    session->pid);
}
