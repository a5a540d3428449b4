/* SPDX-License-Identifier: MIT */
/* The daemon's answers to the live view, about a session whose target the test plays. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/clock.h"
#include "daemon/viewer.h"
#include "daemon/viewer_values.h"
#include "fake_target.h"
#include "proto/unwind.h"

static struct fake_target target;
static struct fake_heap heap;
static struct ma_session *session;
static struct ma_pool pool;
static Memattach__LiveQuery query;

static void take_in(void)
{
	session->next_poll_ms = 0;
	ma_session_poll(session, ma_clock_monotonic_ns() / 1000000);
}

/* A reading serves for some milliseconds: what is asked here is about now. */
static Memattach__LiveView *ask(void)
{
	Memattach__LiveView *view;
	struct ma_error error = {0};
	uint64_t until_ns = ma_clock_monotonic_ns() + (MA_VIEWER_FRESH_MS + 1) * 1000000ULL;
	while (ma_clock_monotonic_ns() < until_ns)
		;
	do {
		ma_pool_fini(&pool);
		if (ma_viewer_answer(session, &query, &pool, &view, &error))
			fail_msg("%s: %s", error.what, error.answer);
	} while (view->indexed < 1);
	return view;
}

static int begin(void **state)
{
	(void)state;
	struct ma_session_request request = {.executable = "/usr/bin/python3",
					     .command = "python3 app.py",
					     .python_version = "3.11.7",
					     .interval_bytes = 65536};
	struct ma_error error = {0};
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	heap = fake_target_fill(&target);
	request.pid = target.pid;
	if (ma_session_create(&session, &request, dup(target.pidfd), dup(target.area.fd), -1,
			      &error))
		return -1;
	take_in();
	query = (Memattach__LiveQuery)MEMATTACH__LIVE_QUERY__INIT;
	query.pid = target.pid;
	query.limit = 50;
	return 0;
}

static int end(void **state)
{
	(void)state;
	ma_pool_fini(&pool);
	ma_session_destroy(session);
	fake_target_end(&target);
	return 0;
}

static bool near(double value, double expected)
{
	return fabs(value - expected) <= 1e-4 * expected + 1;
}

static void test_lines(void **state)
{
	(void)state;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__LINES;
	Memattach__LiveView *view = ask();
	assert_true(view->row_count >= 2);
	assert_string_equal(view->row[0]->function, "Cache.leak");
	assert_string_equal(view->row[0]->file, "/srv/app.py");
	assert_int_equal(view->row[0]->line, 10);
	assert_true(near(view->row[0]->live_bytes, heap.leak_bytes));
	assert_true(view->row[0]->live_variance > 0);
	assert_string_equal(view->row[1]->function, "(native thread)");
	assert_true(near(view->sum->live_bytes, heap.leak_bytes + heap.native_bytes));
	assert_true(near(view->totals->live_bytes, heap.leak_bytes + heap.native_bytes));
	/* The other end first, and one row of it. */
	query.ascending = true;
	query.offset = view->row_count - 1;
	view = ask();
	assert_int_equal(view->n_row, 1);
	assert_string_equal(view->row[0]->function, "Cache.leak");
	query.offset = UINT32_MAX;
	query.limit = UINT32_MAX;
	assert_int_equal(ask()->n_row, 0);
}

static void test_filter_and_thread(void **state)
{
	(void)state;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__LINES;
	query.filter = "app\\.py:10$";
	Memattach__LiveView *view = ask();
	assert_int_equal(view->row_count, 1);
	query.filter = "(";
	view = ask();
	assert_true(strlen(view->filter_error) > 0 && view->row_count > 1);
	query.filter = "no such thing";
	assert_int_equal(ask()->row_count, 0);
	query.filter = "";
	query.thread = 2; /* slot 1, where the leak is */
	view = ask();
	assert_int_equal(view->row_count, 1);
	assert_string_equal(view->row[0]->function, "Cache.leak");
	query.thread = 60;
	assert_int_equal(ask()->row_count, 0);
	/* More filters than are kept. */
	query.thread = 0;
	static char names[][4] = {"a", "b", "c", "d", "e", "f", "lea"};
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		query.filter = names[i];
		view = ask();
	}
	assert_string_equal(view->row[0]->function, "Cache.leak");
}

static void test_tree(void **state)
{
	(void)state;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__TREE;
	Memattach__LiveView *view = ask();
	assert_string_equal(view->row[0]->function, "main");
	assert_true(view->row[0]->has_children && !view->row[0]->open);
	uint32_t closed = view->row_count;
	uint64_t open[] = {view->row[0]->key, 1u << 30, UINT64_MAX};
	query.open = open;
	query.n_open = 3;
	view = ask();
	assert_true(view->row_count > closed);
	assert_int_equal(view->row[1]->depth, 1);
	assert_string_equal(view->row[1]->function, "Cache.leak");
	query.selected = view->row[1]->key;
	assert_int_equal(ask()->selected_rank, 2);
	query.n_open = 0;
	query.open_heaviest = true;
	assert_true(ask()->row[0]->open);
}

static void test_flame(void **state)
{
	(void)state;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__FLAME;
	query.columns = 100;
	Memattach__LiveView *view = ask();
	assert_int_equal(view->row[0]->key, 0);
	assert_true(view->row[0]->width == 1);
	for (size_t i = 1; i < view->n_row; i++)
		assert_true(view->row[i]->start >= 0 &&
			    view->row[i]->start + view->row[i]->width <= 1.0001);
	query.root = view->row[view->n_row - 1]->key;
	view = ask();
	assert_int_equal(view->row[0]->key, query.root);
	assert_true(view->n_ancestor >= 1);
	query.root = UINT64_MAX;
	assert_int_equal(ask()->row[0]->key, 0);
	query.sort = MEMATTACH__LIVE_QUERY__COLUMN__FILE;
	assert_true(ask()->n_row > 1);
}

static void test_stacks(void **state)
{
	(void)state;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__LINES;
	query.key = ask()->row[0]->line_key;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__STACKS;
	query.limit = 1;
	Memattach__LiveView *view = ask();
	assert_int_equal(view->row_count, 1);
	assert_int_equal(view->row[0]->n_frame, 2);
	assert_string_equal(view->row[0]->frame[0]->function, "Cache.leak");
	assert_string_equal(view->row[0]->frame[1]->function, "main");
	assert_string_equal(view->row[0]->domain, "object");
	query.key = UINT64_MAX;
	assert_int_equal(ask()->row_count, 0);
}

/* A site on the leak's line, its Python frames the same, below them a native one. */
static void add_native_site(uint64_t pc)
{
	struct fake_area *area = &target.area;
	const uint64_t frames[] = {
		MA_FRAME(fake_area_code(area, "Cache.leak", "/srv/app.py", 10), 4),
		MA_FRAME(fake_area_code(area, "main", "/srv/app.py", 1), 8),
		MA_FRAME_NATIVE(1, pc)};
	uint32_t site =
		fake_area_site(area, fake_area_stack(area, frames, 3, 0), MA_DOMAIN_OBJECT, 1, 0);
	fake_area_alloc(area, 0, UINT64_C(0x7e1000000000) + pc * 4096, 65536, site, 65536);
	take_in();
}

/* Without native frames, stacks that differ in them alone are one. */
static void test_stacks_without_native(void **state)
{
	(void)state;
	add_native_site(0x1000);
	add_native_site(0x2000);
	for (int native = 0; native < 2; native++) {
		query.native = native;
		query.view = MEMATTACH__LIVE_QUERY__VIEW__LINES;
		Memattach__LiveView *view = ask();
		double live_bytes = view->row[0]->live_bytes;
		assert_true(live_bytes > heap.leak_bytes);
		query.key = view->row[0]->line_key;
		query.view = MEMATTACH__LIVE_QUERY__VIEW__STACKS;
		view = ask();
		assert_int_equal(view->row_count, native ? 3 : 1);
		assert_int_equal(view->row[0]->n_frame, 2);
		assert_true(native || near(view->row[0]->live_bytes, live_bytes));
		assert_true(near(view->sum->live_bytes, live_bytes));
		assert_true(!native || view->row[1]->n_frame == 3);
	}
}

static void test_marks(void **state)
{
	(void)state;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__LINES;
	query.mark = true;
	uint64_t mark = ask()->mark;
	assert_true(mark != 0);
	query.mark = false;
	query.reference = mark;
	Memattach__LiveView *view = ask();
	assert_int_equal(view->reference, mark);
	assert_true(view->row[0]->delta_bytes == 0);
	for (int i = 0; i < 10; i++)
		fake_area_alloc(&target.area, 0, UINT64_C(0x7e0000000000) + (uint64_t)i * 65552,
				65536, heap.leak_site, 65536);
	take_in();
	view = ask();
	assert_true(near(view->row[0]->delta_bytes, heap.leak_bytes / 10));
	/* Then is shown as it was. */
	query.shown = mark;
	view = ask();
	assert_true(near(view->row[0]->live_bytes, heap.leak_bytes));
	/* Marks beyond what is kept take the place of those not asked for. */
	query.shown = 0;
	query.reference = 0;
	query.mark = true;
	for (int i = 0; i < MA_VIEWER_MARKS; i++)
		ask();
	query.mark = false;
	query.reference = mark;
	assert_int_equal(ask()->reference, 0);
}

static void test_ended(void **state)
{
	(void)state;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__LINES;
	ask();
	fake_target_kill(&target, SIGKILL);
	ma_session_exited(session);
	Memattach__LiveView *view = ask();
	assert_string_equal(view->row[0]->function, "Cache.leak");
	assert_true(near(view->row[0]->live_bytes, heap.leak_bytes));
}

static void test_tidy(void **state)
{
	(void)state;
	ask();
	uint64_t now_ms = ma_clock_monotonic_ns() / 1000000;
	ma_viewer_tidy(session, now_ms);
	assert_non_null(session->viewer);
	ma_viewer_tidy(session, now_ms + 3600 * 1000);
	assert_null(session->viewer);
	assert_true(ask()->row_count == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, begin, end),
		cmocka_unit_test_setup_teardown(test_filter_and_thread, begin, end),
		cmocka_unit_test_setup_teardown(test_tree, begin, end),
		cmocka_unit_test_setup_teardown(test_flame, begin, end),
		cmocka_unit_test_setup_teardown(test_stacks, begin, end),
		cmocka_unit_test_setup_teardown(test_stacks_without_native, begin, end),
		cmocka_unit_test_setup_teardown(test_marks, begin, end),
		cmocka_unit_test_setup_teardown(test_ended, begin, end),
		cmocka_unit_test_setup_teardown(test_tidy, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
