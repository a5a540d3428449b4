/* SPDX-License-Identifier: MIT */
/* What samples share through windows, from the events of a target that is played by the test to
 * every answer that intervals are made of: snapshot, report, live view. */
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/clock.h"
#include "daemon/session.h"
#include "daemon/session_report.h"
#include "daemon/snapshot_build.h"
#include "daemon/viewer.h"
#include "fake_target.h"
#include "proto/snapshot.h"

enum { BLOCKS = 40, SIZE = 500, EXPONENT = 3 };

static const uint32_t rate = EXPONENT << MA_RATE_WINDOW_SHIFT | 65536U;

static struct ma_session *begin(struct fake_target *target)
{
	struct ma_session_request request = {.pid = target->pid,
					     .executable = "/usr/bin/python3.11",
					     .command = "python app.py",
					     .python_version = "3.11.7",
					     .notice = "",
					     .interval_bytes = 65536};
	struct ma_session *session = NULL;
	struct ma_error error = {0};
	if (ma_session_create(&session, &request, dup(target->pidfd), dup(target->area.fd), -1,
			      &error))
		fail_msg("%s: %s", error.what, error.answer);
	return session;
}

static Memattach__Profile *read_back(struct ma_session *session)
{
	const struct ma_snapshot_query query = {.held_age_ms = 1};
	struct ma_snapshot snapshot;
	struct ma_error error = {0};
	struct ma_snapshot_state state;
	Memattach__Profile *profile = NULL;
	uint8_t *bytes;
	size_t size;
	assert_int_equal(ma_snapshot_build(session, &query, &snapshot, &error), 0);
	assert_int_equal(ma_snapshot_pack(snapshot.profile, &bytes, &size, &error), 0);
	ma_snapshot_fini(&snapshot);
	assert_int_equal(ma_snapshot_parse(bytes, size, &profile, &state, &error), 0);
	assert_true(state.heap_trusted);
	free(bytes);
	return profile;
}

/* The deviation of `count` blocks of one window, in units of what one weighs. */
static double deviation(double weight, double count)
{
	double closed = 1 - ldexp(1, -EXPONENT);
	return weight * sqrt(closed * count * (count - 1));
}

static void assert_near(double value, double wanted)
{
	if (!(fabs(value - wanted) <= 1e-3 * fabs(wanted)))
		fail_msg("%g is not %g", value, wanted);
}

static double weight_of_one(void)
{
	struct ma_weight weight;
	ma_estimate_weight(SIZE, rate, &weight);
	return (double)weight.bytes / MA_BYTES_UNITS;
}

static void assert_snapshot(struct ma_session *session)
{
	Memattach__Profile *profile = read_back(session);
	const Memattach__Heap *heap = profile->heap;
	double one = weight_of_one();
	/* Half of the window was at each of two sites. */
	double of_all = deviation(one, BLOCKS);
	assert_int_equal(heap->sampler->window_exponent_max, EXPONENT);
	assert_near((double)heap->totals->live_bytes_shared, of_all);
	assert_near((double)heap->totals->held_bytes_shared, of_all);
	assert_near((double)heap->totals->allocated_bytes_shared, of_all);
	assert_near((double)heap->totals->peak_bytes_shared, of_all);
	assert_near((double)heap->totals->live_count_shared / SIZE, of_all / SIZE / SIZE);
	assert_near(heap->sampler->unseen_bytes,
		    2 * pow(deviation(one, BLOCKS / 2), 2) / (one * BLOCKS));
	int shared = 0;
	for (size_t i = 0; i < heap->n_site; i++) {
		const Memattach__SiteDetail *site = heap->site[i];
		if (site->live_bytes_shared == 0)
			continue;
		/* Twenty of forty have more in common by themselves than by half. */
		double own = fmax(deviation(one, BLOCKS / 2), of_all / 2);
		assert_near((double)site->live_bytes_shared, own);
		assert_near((double)site->held_bytes_shared, own);
		assert_near((double)site->allocated_bytes_shared, own);
		assert_near((double)site->held_count_shared, own / SIZE);
		assert_int_equal(site->live_samples, BLOCKS / 2);
		shared++;
	}
	assert_int_equal(shared, 2);
	memattach__profile__free_unpacked(profile, NULL);
}

static void assert_report(struct ma_session *session)
{
	struct ma_pool pool = {0};
	Memattach__Session *report = ma_session_report(session, &pool);
	assert_int_equal(report->window_exponent_max, EXPONENT);
	assert_near((double)report->live_bytes_shared, deviation(weight_of_one(), BLOCKS));
	ma_pool_fini(&pool);
}

static void assert_view(struct ma_session *session)
{
	struct ma_pool pool = {0};
	struct ma_error error;
	Memattach__LiveQuery query = MEMATTACH__LIVE_QUERY__INIT;
	Memattach__LiveView *view;
	double own = fmax(deviation(weight_of_one(), BLOCKS / 2),
			  deviation(weight_of_one(), BLOCKS) / 2);
	query.pid = session->pid;
	query.limit = 10;
	for (int i = 0; i < 2; i++) {
		query.view =
			i ? MEMATTACH__LIVE_QUERY__VIEW__TREE : MEMATTACH__LIVE_QUERY__VIEW__LINES;
		do {
			ma_pool_fini(&pool);
			assert_int_equal(ma_viewer_answer(session, &query, &pool, &view, &error),
					 0);
		} while (view->indexed < 1);
		assert_near((double)view->sum->live_shared, 2 * own);
		/* Of the tree the outermost call is the only row. */
		assert_near((double)view->row[0]->live_shared, i ? 2 * own : own);
	}
	ma_pool_fini(&pool);
}

static void test_windows(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct fake_area *area = &target.area;
	uint32_t outer = fake_area_code(area, "main", "/srv/app.py", 1);
	uint32_t sites[2];
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t code = fake_area_code(area, i ? "a" : "b", "/srv/app.py", 10);
		uint64_t frames[] = {MA_FRAME(code, 4), MA_FRAME(outer, 8)};
		sites[i] = fake_area_site(area, fake_area_stack(area, frames, 2, 0),
					  MA_DOMAIN_OBJECT, 0, 0);
	}
	struct ma_session *session = begin(&target);
	/* All of one time: of one window. */
	for (uint32_t i = 0; i < BLOCKS; i++)
		fake_area_alloc(area, 0, UINT64_C(0x7f1000000000) + i * 512, SIZE, sites[i % 2],
				rate);
	while (ma_session_clock_ms(session) < 2)
		poll(NULL, 0, 1);
	session->next_poll_ms = 0;
	ma_session_poll(session, ma_clock_monotonic_ns() / 1000000);
	assert_snapshot(session);
	assert_report(session);
	assert_view(session);
	fake_target_kill(&target, SIGKILL);
	ma_session_exited(session);
	assert_snapshot(session);
	ma_session_destroy(session);
	fake_target_end(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_windows)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
