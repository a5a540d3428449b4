/* SPDX-License-Identifier: MIT */
/* One session as text and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <time.h>

#include "cli/display.h"
#include "cli/session_view.h"
#include "proto/area.h"

#define SECOND_NS UINT64_C(1000000000)
#define ATTACH_NS (UINT64_C(1714572182) * SECOND_NS) /* 2024-05-01 14:03:02 UTC */

static Memattach__Session usual(void)
{
	Memattach__Session session = MEMATTACH__SESSION__INIT;
	session.pid = 4242;
	session.uid = 1000;
	session.command = (char *)"gunicorn: worker \033[1m[app.wsgi]";
	session.python_version = (char *)"3.11.7";
	session.state = MEMATTACH__SESSION__STATE__TRACKING;
	session.attach_time_nanos = ATTACH_NS;
	session.expires_time_nanos = ATTACH_NS + 86400 * SECOND_NS;
	session.mode = MA_MODE_SAMPLED;
	session.interval_bytes = 65536;
	session.budget_ratio = 0.02;
	session.cost_ratio = 0.014;
	session.samples = 12345;
	session.sites = 421;
	session.live_bytes = 38.2 * 1048576;
	session.live_bytes_variance = 2e12;
	session.peak_bytes = 52.6 * 1048576;
	session.peak_time_nanos = ATTACH_NS + 7 * SECOND_NS;
	session.allocated_bytes = 40.0 * 1073741824;
	session.rss_bytes = 1975684956;
	session.hook_running_us = 6000;
	session.pause_us = 210;
	session.notice = (char *)"a thread of ours ran\nand ended";
	return session;
}

static void test_tracking(void **state)
{
	(void)state;
	Memattach__Session session = usual();
	struct ma_text text = {0};
	ma_session_view_write(&text, &session, ATTACH_NS + 7380 * SECOND_NS, 120, false);
	assert_string_equal(
		text.data,
		"4242  gunicorn: worker \\x1b[1m[app.wsgi]   Python 3.11.7   uid 1000\n"
		"  state     tracking   attached 14:03:02, for 2 h 3 min   in 6 ms, longest pause "
		"210 us\n"
		"  sampling  one in 64 KiB, steered to a budget of 2 %   cost 1.4 %   12k samples "
		"at 421 sites   drops 0\n"
		"  heap      live 38.2 \u00b12.7 MiB   peak 52.6 MiB at 14:03:09   allocated 40.0 "
		"GiB\n"
		"  process   RSS 1.84 GiB\n"
		"  until     memattach detach 4242   or 2024-05-02 14:03:02 if nobody asks\n"
		"  notice    a thread of ours ran\n"
		"            and ended\n");
	ma_text_fini(&text);
}

/* Five spans at three intervals; the way through the hook alone is above the budget. */
static void test_cost(void **state)
{
	(void)state;
	static const uint64_t kib[] = {64, 64, 1024, 512, 512};
	Memattach__Session session = usual();
	Memattach__CostSpan spans[5];
	Memattach__CostSpan *list[5];
	for (unsigned i = 0; i < 5; i++) {
		spans[i] = (Memattach__CostSpan)MEMATTACH__COST_SPAN__INIT;
		spans[i].end_time_nanos = ATTACH_NS + (i + 1) * SECOND_NS;
		spans[i].span_ms = 1000;
		spans[i].interval_bytes = kib[i] << 10;
		spans[i].window_exponent = i == 4 ? 3 : 0;
		spans[i].slow_ratio = 0.01 * (i + 1);
		spans[i].fast_ratio = 0.03;
		list[i] = &spans[i];
	}
	session.cost = list;
	session.n_cost = 5;
	session.cost_ratio = 0.08;
	session.fast_ratio = 0.03;
	struct ma_text text = {0};
	ma_session_view_write(&text, &session, ATTACH_NS + 7380 * SECOND_NS, 200, false);
	if (!strstr(text.data,
		    "  cost      passing through 3 %, above the budget at any interval   "
		    "sampling 5 %   one in 64 KiB from 14:03:02: 4.5 %   one in 1 MiB "
		    "from 14:03:04: 6 %   one in 512 KiB from 14:03:05: 7.0 %\n"
		    "            one in 512 KiB, windows 1/8 from 14:03:06: 8 %\n"))
		fail_msg("%s", text.data);
	ma_text_fini(&text);
	struct ma_json json = {0};
	ma_session_json_write(&json, &session);
	assert_non_null(strstr(json.text.data, "\"cost_history\""));
	assert_non_null(strstr(json.text.data, "\"interval_bytes\": 1048576"));
	assert_non_null(strstr(json.text.data, "\"windows_open_ratio\": 0.125"));
	ma_text_fini(&json.text);
}

static void test_ended(void **state)
{
	(void)state;
	Memattach__Session session = usual();
	struct ma_text text = {0};
	session.state = MEMATTACH__SESSION__STATE__ENDED;
	session.ended = (char *)"killed by SIGKILL at 14:04:02";
	session.end_time_nanos = ATTACH_NS + 60 * SECOND_NS;
	ma_session_view_write(&text, &session, ATTACH_NS + 7380 * SECOND_NS, 120, false);
	assert_non_null(strstr(
		text.data, "ended: killed by SIGKILL at 14:04:02   attached 14:03:02, for 1 min "));
	assert_non_null(strstr(text.data, "  kept      until 2024-05-02 14:03:02\n"));
	assert_null(strstr(text.data, "memattach detach"));
	ma_text_fini(&text);
}

static void test_windows(void **state)
{
	(void)state;
	Memattach__Session session = usual();
	struct ma_text text = {0};
	struct ma_json json = {0};
	session.window_exponent_max = 3;
	session.window_exponent = 2;
	session.live_bytes_shared = 10 * 1048576.0F;
	ma_session_view_write(&text, &session, ATTACH_NS + 7380 * SECOND_NS, 160, false);
	assert_non_null(strstr(text.data, "small Python objects for 1/4 of the time   cost"));
	if (!strstr(text.data, "live 38.2 \u00b120.7 MiB"))
		fail_msg("%s", text.data);
	ma_session_json_write(&json, &session);
	assert_non_null(strstr(json.text.data, "\"windows_open_ratio\": 0.125"));
	assert_non_null(strstr(json.text.data, "\"windows_open_ratio_now\": 0.25"));
	ma_text_fini(&json.text);
	ma_text_fini(&text);
}

static void test_json(void **state)
{
	(void)state;
	Memattach__Session session = usual();
	struct ma_json json = {0};
	ma_session_json_write(&json, &session);
	static const char *const wanted[] = {
		"\"pid\": 4242",      "\"state\": \"tracking\"",    "\"mode\": \"sampled\"",
		"\"samples\": 12345", "\"windows_open_ratio\": 1,", "\\u001b[1m",
		"\"end_time\": null"};
	for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
		if (!strstr(json.text.data, wanted[i]))
			fail_msg("no %s in:\n%s", wanted[i], json.text.data);
	ma_text_fini(&json.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tracking), cmocka_unit_test(test_cost),
		cmocka_unit_test(test_ended),    cmocka_unit_test(test_windows),
		cmocka_unit_test(test_json),
	};
	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
