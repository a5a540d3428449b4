/* SPDX-License-Identifier: MIT */
/* The live view without terminal and daemon: lists, typing, keys to questions, answers to state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/live/frame.h"
#include "cli/live/model.h"

static struct ma_model model;
static Memattach__LiveQuery query;

static enum ma_wish press(uint32_t sign)
{
	const struct ma_key key = {.kind = MA_KEY_SIGN, .sign = sign};
	return ma_model_key(&model, &key, 1000);
}

static enum ma_wish press_kind(enum ma_key_kind kind)
{
	const struct ma_key key = {.kind = kind};
	return ma_model_key(&model, &key, 1000);
}

static void type(const char *text)
{
	while (*text)
		press((unsigned char)*text++);
}

/* What the daemon would say: rows with keys from `first` on, `count` in all. */
static Memattach__Reply *make_reply(uint32_t first, uint32_t rows, uint32_t count)
{
	Memattach__Reply reply = MEMATTACH__REPLY__INIT;
	Memattach__LiveView view = MEMATTACH__LIVE_VIEW__INIT;
	Memattach__Session session = MEMATTACH__SESSION__INIT;
	Memattach__LiveRow all[64], *pointers[64];
	session.state = MEMATTACH__SESSION__STATE__TRACKING;
	for (uint32_t i = 0; i < rows; i++) {
		all[i] = (Memattach__LiveRow)MEMATTACH__LIVE_ROW__INIT;
		all[i].key = all[i].line_key = 100 + first + i;
		pointers[i] = &all[i];
	}
	view.session = &session;
	view.index = 7;
	view.indexed = 1;
	view.row = pointers;
	view.n_row = rows;
	view.row_count = count;
	reply.reply_case = MEMATTACH__REPLY__REPLY_LIVE;
	reply.live = &view;
	uint8_t packed[16384];
	size_t bytes = memattach__reply__pack(&reply, packed);
	return memattach__reply__unpack(NULL, bytes, packed);
}

static void answer(uint32_t rows, uint32_t count)
{
	ma_model_ask(&model, &query);
	ma_model_answer(&model, make_reply(query.offset, rows, count), &query, 1000);
}

static int begin(void **state)
{
	(void)state;
	ma_model_init(&model, 4242, true);
	ma_model_resize(&model, 10, 80);
	return 0;
}

static int end(void **state)
{
	(void)state;
	ma_model_fini(&model);
	return 0;
}

static void test_list(void **state)
{
	(void)state;
	struct ma_list list = {.page = 5};
	uint64_t keys[10] = {10, 11, 12, 13, 14, 15, 16, 17, 18, 19};
	struct ma_list_answer rows = {0, 10, 100, 0, keys};
	assert_false(ma_list_take(&list, &rows, 0));
	/* Nothing was picked: the pick stays at the top, whatever comes there. */
	assert_int_equal(list.key, 0);
	ma_list_move(&list, 3);
	assert_false(ma_list_take(&list, &rows, 0));
	assert_int_equal(list.key, 13);
	/* The row has moved, and the pick goes with it. */
	rows.selected_rank = 8;
	assert_false(ma_list_take(&list, &rows, 13));
	assert_int_equal(list.rank, 7);
	assert_int_equal(list.top, 3);
	/* It moves out of what is known: other rows are needed. */
	rows.selected_rank = 61;
	assert_true(ma_list_take(&list, &rows, 13));
	assert_int_equal(list.top, 56);
	uint32_t offset, limit;
	ma_list_wanted(&list, &offset, &limit);
	assert_int_equal(offset, 51);
	assert_int_equal(limit, 15);
	/* It is gone: whatever has its rank is picked. */
	rows = (struct ma_list_answer){0, 4, 4, 0, keys};
	assert_false(ma_list_take(&list, &rows, 13));
	assert_int_equal(list.rank, 3);
	assert_int_equal(list.key, 13);
	rows = (struct ma_list_answer){0, 0, 0, 0, keys};
	assert_false(ma_list_take(&list, &rows, 13));
	assert_int_equal(list.rank, 0);
	ma_list_move(&list, -5);
	ma_list_move(&list, 5);
	ma_list_end(&list);
	assert_int_equal(list.rank, 0);
}

static void test_scroll(void **state)
{
	(void)state;
	struct ma_list list = {.page = 5, .count = 20};
	ma_list_scroll(&list, 3);
	assert_int_equal(list.top, 3);
	assert_int_equal(list.rank, 3);
	ma_list_scroll(&list, 100);
	assert_int_equal(list.top, 15);
	ma_list_scroll(&list, -100);
	assert_int_equal(list.top, 0);
	assert_int_equal(list.rank, 4);
	ma_list_home(&list);
	assert_false(list.held);
}

static void test_edit(void **state)
{
	(void)state;
	struct ma_edit edit;
	const struct ma_key left = {.kind = MA_KEY_LEFT}, back = {.kind = MA_KEY_BACKSPACE};
	const struct ma_key del = {.kind = MA_KEY_DELETE}, home = {.kind = MA_KEY_HOME};
	const struct ma_key wide = {.kind = MA_KEY_SIGN, .sign = 0x65e5};
	const struct ma_key word = {.kind = MA_KEY_SIGN, .sign = 23};
	const struct ma_key escape = {.kind = MA_KEY_SIGN, .sign = 27};
	ma_edit_begin(&edit, "a\u00e9b");
	ma_edit_key(&edit, &left);
	ma_edit_key(&edit, &wide);
	assert_string_equal(edit.text, "a\u00e9\u65e5b");
	ma_edit_key(&edit, &back);
	ma_edit_key(&edit, &back);
	assert_string_equal(edit.text, "ab");
	assert_true(ma_edit_key(&edit, &del));
	assert_false(ma_edit_key(&edit, &del));
	assert_string_equal(edit.text, "a");
	ma_edit_key(&edit, &home);
	assert_false(ma_edit_key(&edit, &back));
	assert_false(ma_edit_key(&edit, &escape));
	ma_edit_begin(&edit, "one two  ");
	ma_edit_key(&edit, &word);
	assert_string_equal(edit.text, "one ");
	/* A full line takes no more. */
	for (int i = 0; i < 2 * MA_EDIT_BYTES; i++)
		ma_edit_key(&edit, &wide);
	assert_true(strlen(edit.text) < MA_EDIT_BYTES);
}

static void test_questions(void **state)
{
	(void)state;
	answer(10, 10);
	assert_int_equal(query.view, MEMATTACH__LIVE_QUERY__VIEW__LINES);
	assert_true(query.mark);
	press('2');
	ma_model_ask(&model, &query);
	assert_int_equal(query.view, MEMATTACH__LIVE_QUERY__VIEW__TREE);
	assert_true(query.open_heaviest);
	press('s');
	press('S');
	ma_model_ask(&model, &query);
	assert_int_equal(query.sort, MEMATTACH__LIVE_QUERY__COLUMN__DELTA);
	assert_true(query.ascending);
	press('3');
	ma_model_ask(&model, &query);
	assert_int_equal(query.columns, 80);
	assert_int_equal(press('q'), MA_WISH_LEAVE);
	assert_int_equal(press('Q'), MA_WISH_DETACH);
}

static void test_reference(void **state)
{
	(void)state;
	Memattach__Reply *reply = make_reply(0, 3, 3);
	ma_model_ask(&model, &query);
	reply->live->mark = 55;
	ma_model_answer(&model, reply, &query, 1000);
	ma_model_ask(&model, &query);
	assert_int_equal(query.reference, 55);
	assert_false(query.mark);
	/* The daemon does not keep it any more. */
	ma_model_answer(&model, make_reply(0, 3, 3), &query, 1000);
	assert_int_equal(model.reference, 0);
	assert_non_null(strstr(model.notice, "not kept"));
	press('r');
	ma_model_ask(&model, &query);
	assert_true(query.mark);
	press('R');
	assert_int_equal(model.reference, 0);
}

static void test_freeze(void **state)
{
	(void)state;
	answer(3, 3);
	press(' ');
	Memattach__Reply *reply = make_reply(0, 3, 3);
	ma_model_ask(&model, &query);
	assert_true(query.mark);
	reply->live->mark = 77;
	reply->live->time_nanos = 1;
	ma_model_answer(&model, reply, &query, 1000);
	reply = make_reply(0, 3, 3);
	ma_model_ask(&model, &query);
	assert_int_equal(query.shown, 77);
	reply->live->shown = 77;
	reply->live->time_nanos = 2;
	ma_model_answer(&model, reply, &query, 1000);
	/* The head stays what it was. */
	assert_int_equal(ma_model_head(&model)->time_nanos, 1);
	assert_int_equal(ma_model_view(&model)->time_nanos, 2);
	press(' ');
	ma_model_ask(&model, &query);
	assert_int_equal(query.shown, 0);
	assert_int_equal(ma_model_head(&model)->time_nanos, 2);
}

static void test_filter(void **state)
{
	(void)state;
	answer(3, 3);
	press('/');
	type("put");
	assert_string_equal(model.filter, "put");
	type("(");
	/* The last pattern that was one stays in force. */
	assert_string_equal(model.filter, "put");
	assert_non_null(model.filter_error);
	press_kind(MA_KEY_ENTER);
	assert_int_equal(model.layer, MA_LAYER_FILTER);
	type("q)");
	assert_null(model.filter_error);
	press_kind(MA_KEY_ENTER);
	assert_int_equal(model.layer, MA_LAYER_NONE);
	ma_model_ask(&model, &query);
	assert_string_equal(query.filter, "put(q)");
	press('/');
	type("x");
	press_kind(MA_KEY_ESCAPE);
	assert_string_equal(model.filter, "put(q)");
	press_kind(MA_KEY_ESCAPE);
	assert_string_equal(model.filter, "");
}

/* Rows of another view are not taken for this one's. */
static void test_late_answer(void **state)
{
	(void)state;
	ma_model_ask(&model, &query);
	press('2');
	ma_model_answer(&model, make_reply(0, 3, 3), &query, 1000);
	assert_false(ma_model_is_current(&model));
	assert_true(model.asks);
	answer(3, 3);
	assert_true(ma_model_is_current(&model));
}

/* Rows under another filter are not what the next key is about; what is typed always is. */
static void test_settled(void **state)
{
	(void)state;
	assert_false(ma_model_is_settled(&model));
	answer(3, 3);
	assert_true(ma_model_is_settled(&model));
	press('/');
	type("put");
	assert_true(ma_model_is_settled(&model));
	press_kind(MA_KEY_ENTER);
	assert_false(ma_model_is_settled(&model));
	answer(1, 1);
	assert_true(ma_model_is_settled(&model));
	ma_model_ask(&model, &query);
	press('s');
	/* This answers what was asked before. */
	ma_model_answer(&model, make_reply(0, 1, 1), &query, 1000);
	assert_false(ma_model_is_settled(&model));
	answer(1, 1);
	assert_true(ma_model_is_settled(&model));
}

/* The row that was seen is picked, though the next answer has another one there. */
static void test_order_changes_under_the_pick(void **state)
{
	(void)state;
	answer(10, 10);
	press('j');
	ma_model_ask(&model, &query);
	assert_int_equal(query.selected, 101);
	Memattach__Reply *reply = make_reply(0, 10, 10);
	reply->live->selected_rank = 5;
	ma_model_answer(&model, reply, &query, 1000);
	assert_int_equal(model.lists[MA_TAB_LINES].rank, 4);
	assert_int_equal(model.lists[MA_TAB_LINES].key, 101);
}

static void test_another_index(void **state)
{
	(void)state;
	answer(10, 10);
	press('2');
	answer(3, 3);
	press_kind(MA_KEY_DOWN);
	Memattach__Reply *reply = make_reply(0, 3, 3);
	reply->live->index = 8;
	ma_model_ask(&model, &query);
	ma_model_answer(&model, reply, &query, 1000);
	assert_int_equal(model.open.count, 0);
	assert_true(model.open_heaviest);
}

static void test_stack_of_the_picked_row(void **state)
{
	(void)state;
	answer(10, 10);
	press('j');
	press('j');
	answer(10, 10);
	press_kind(MA_KEY_ENTER);
	ma_model_ask(&model, &query);
	assert_int_equal(query.view, MEMATTACH__LIVE_QUERY__VIEW__STACKS);
	assert_int_equal(query.key, 102);
	press_kind(MA_KEY_ESCAPE);
	ma_model_ask(&model, &query);
	assert_int_equal(query.view, MEMATTACH__LIVE_QUERY__VIEW__LINES);
}

static void test_any_keys(void **state)
{
	(void)state;
	uint32_t random = 1;
	for (int i = 0; i < 200000; i++) {
		random = random * 1664525 + 1013904223;
		struct ma_key key = {.kind = (enum ma_key_kind)((random >> 24) % MA_KEY_CLOSED),
				     .sign = (random >> 16) % 128,
				     .row = (int)(random >> 8) % 30,
				     .column = (int)(random >> 4) % 90};
		ma_model_key(&model, &key, 1000);
		if (i % 3 == 0)
			answer(random % 40, 40);
		if (i % 50 == 0)
			ma_model_resize(&model, 1 + (int)(random >> 20) % 60, 60);
	}
	assert_non_null(ma_model_view(&model));
}

static void test_layout(void **state)
{
	(void)state;
	for (int rows = 15; rows <= 300; rows++) {
		for (int banner = 0; banner < 2; banner++) {
			struct ma_layout layout = ma_layout_make(rows, banner);
			assert_true(layout.body_rows >= 7);
			assert_int_equal(layout.body_row + layout.body_rows, layout.last_row);
			assert_int_equal(layout.last_row, rows - 1);
		}
	}
}

/* n turns native frames off and on; what was picked has other keys then. */
static void test_native(void **state)
{
	(void)state;
	const struct ma_key n = {.kind = MA_KEY_SIGN, .sign = 'n'};
	answer(5, 5);
	assert_true(query.native);
	ma_list_move(&model.lists[MA_TAB_LINES], 3);
	assert_int_equal(ma_model_key(&model, &n, 1000), MA_WISH_NOTHING);
	assert_true(model.asks);
	assert_false(ma_model_is_settled(&model));
	answer(5, 5);
	assert_false(query.native);
	assert_int_equal(model.lists[MA_TAB_LINES].rank, 0);
	assert_true(ma_model_is_settled(&model));
	ma_model_key(&model, &n, 1000);
	ma_model_ask(&model, &query);
	assert_true(query.native);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_scroll),
		cmocka_unit_test(test_edit),
		cmocka_unit_test_setup_teardown(test_questions, begin, end),
		cmocka_unit_test_setup_teardown(test_reference, begin, end),
		cmocka_unit_test_setup_teardown(test_freeze, begin, end),
		cmocka_unit_test_setup_teardown(test_filter, begin, end),
		cmocka_unit_test_setup_teardown(test_late_answer, begin, end),
		cmocka_unit_test_setup_teardown(test_settled, begin, end),
		cmocka_unit_test_setup_teardown(test_order_changes_under_the_pick, begin, end),
		cmocka_unit_test_setup_teardown(test_another_index, begin, end),
		cmocka_unit_test_setup_teardown(test_stack_of_the_picked_row, begin, end),
		cmocka_unit_test_setup_teardown(test_native, begin, end),
		cmocka_unit_test_setup_teardown(test_any_keys, begin, end),
		cmocka_unit_test(test_layout),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
