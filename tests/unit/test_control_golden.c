/* SPDX-License-Identifier: MIT */
/*
 * The bytes of what CLI and daemon say to each other, so that neighbouring releases go on
 * understanding each other: one Request and one Reply of every kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "proto/channel.h"
#include "proto/control.pb-c.h"

static void expect_bytes(const ProtobufCMessage *message, const char *hex)
{
	uint8_t packed[512];
	char text[2 * sizeof packed + 1] = "";
	size_t bytes = protobuf_c_message_get_packed_size(message);
	assert_true(bytes <= sizeof packed);
	protobuf_c_message_pack(message, packed);
	for (size_t i = 0; i < bytes; i++)
		snprintf(text + 2 * i, 3, "%02x", packed[i]);
	assert_string_equal(text, hex);
}

static Memattach__Request request(Memattach__Request__WhatCase what)
{
	Memattach__Request made = MEMATTACH__REQUEST__INIT;
	made.protocol = MA_CHANNEL_PROTOCOL;
	made.release = "0.1.0";
	made.what_case = what;
	return made;
}

#define PREFIX                                                                                     \
	"0801"                                                                                     \
	"1205302e312e30" /* protocol 1, release "0.1.0" */

static void test_requests(void **state)
{
	(void)state;
	Memattach__Empty empty = MEMATTACH__EMPTY__INIT;
	Memattach__Target target = MEMATTACH__TARGET__INIT;
	target.pid = 4242;
	static const struct {
		Memattach__Request__WhatCase what;
		int with_target;
		const char *hex;
	} simple[] = {
		{MEMATTACH__REQUEST__WHAT_HELLO, 0, PREFIX "1a00"},
		{MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH, 1, PREFIX "2203089221"},
		{MEMATTACH__REQUEST__WHAT_CANCEL_ATTACH, 1, PREFIX "3203089221"},
		{MEMATTACH__REQUEST__WHAT_BEGIN_DETACH, 1, PREFIX "3a03089221"},
		{MEMATTACH__REQUEST__WHAT_DETACHED, 1, PREFIX "4203089221"},
		{MEMATTACH__REQUEST__WHAT_LIST, 0, PREFIX "4a00"},
		{MEMATTACH__REQUEST__WHAT_STATUS, 1, PREFIX "5203089221"},
		{MEMATTACH__REQUEST__WHAT_DISMISS, 1, PREFIX "6203089221"},
		{MEMATTACH__REQUEST__WHAT_SHUTDOWN, 0, PREFIX "6a00"},
	};
	for (size_t i = 0; i < sizeof simple / sizeof simple[0]; i++) {
		Memattach__Request made = request(simple[i].what);
		if (simple[i].with_target)
			made.begin_attach = &target; /* a union: any member of that type */
		else
			made.hello = &empty;
		expect_bytes(&made.base, simple[i].hex);
	}
}

static void test_requests_with_content(void **state)
{
	(void)state;
	Memattach__Attached attached = MEMATTACH__ATTACHED__INIT;
	attached.pid = 4242;
	attached.executable = "/bin/py";
	attached.command = "py x";
	attached.python_version = "3.11.7";
	attached.hook_running_us = 6000;
	attached.pause_us = 300;
	attached.fixed_interval = 1;
	attached.budget_ratio = 0.02;
	attached.keep = 1;
	attached.notice = "n";
	attached.interval_bytes = 65536;
	attached.uid = 1000;
	attached.debuginfod_urls = "u";
	Memattach__Request made = request(MEMATTACH__REQUEST__WHAT_ATTACHED);
	made.attached = &attached;
	expect_bytes(&made.base, PREFIX "2a3a"
					"089221"
					"12072f62696e2f7079"
					"1a0470792078"
					"2206332e31312e37"
					"28f02e"
					"30ac02"
					"3801"
					"417b14ae47e17a943f"
					"4801"
					"52016e"
					"58808004"
					"60e807"
					"6a0175");

	Memattach__SnapshotQuery query = MEMATTACH__SNAPSHOT_QUERY__INIT;
	query.pid = 4242;
	query.max_sites = 100;
	query.held_age_ms = 5000;
	query.without_series = 1;
	query.quick = 1;
	made = request(MEMATTACH__REQUEST__WHAT_SNAPSHOT);
	made.snapshot = &query;
	expect_bytes(&made.base, PREFIX "5a0c"
					"089221"
					"1064"
					"188827"
					"2001"
					"2801");

	Memattach__Configure configure = MEMATTACH__CONFIGURE__INIT;
	configure.pid = 4242;
	configure.keep = 1;
	configure.interval_bytes = 65536;
	made = request(MEMATTACH__REQUEST__WHAT_CONFIGURE);
	made.configure = &configure;
	expect_bytes(&made.base, PREFIX "7209"
					"089221"
					"1001"
					"18808004");
}

static Memattach__Reply reply(Memattach__Reply__ReplyCase which)
{
	Memattach__Reply made = MEMATTACH__REPLY__INIT;
	made.protocol = MA_CHANNEL_PROTOCOL;
	made.release = "0.1.0";
	made.reply_case = which;
	return made;
}

static void test_replies(void **state)
{
	(void)state;
	Memattach__Empty empty = MEMATTACH__EMPTY__INIT;
	Memattach__Reply made = reply(MEMATTACH__REPLY__REPLY_DONE);
	made.done = &empty;
	expect_bytes(&made.base, PREFIX "3a00");

	made = reply(MEMATTACH__REPLY__REPLY__NOT_SET);
	made.code = MA_ERR_NO_PROCESS;
	made.what = "a";
	made.answer = "b";
	made.remedy = "c";
	expect_bytes(&made.base, PREFIX "18fbffffffffffffffff01"
					"220161"
					"2a0162"
					"320163");

	made = reply(MEMATTACH__REPLY__REPLY_SNAPSHOT);
	made.snapshot.data = (uint8_t[]){0x1f, 0x8b};
	made.snapshot.len = 2;
	expect_bytes(&made.base, PREFIX "4a021f8b");

	static const struct {
		Memattach__Grant__State state;
		const char *hex;
	} grants[] = {
		{MEMATTACH__GRANT__STATE__GRANTED, PREFIX "52020801"},
		{MEMATTACH__GRANT__STATE__SERVED, PREFIX "52020802"},
		{MEMATTACH__GRANT__STATE__BUSY, PREFIX "52020803"},
		{MEMATTACH__GRANT__STATE__NOT_SERVED, PREFIX "52020804"},
	};
	for (size_t i = 0; i < sizeof grants / sizeof grants[0]; i++) {
		Memattach__Grant grant = MEMATTACH__GRANT__INIT;
		grant.state = grants[i].state;
		made = reply(MEMATTACH__REPLY__REPLY_GRANT);
		made.grant = &grant;
		expect_bytes(&made.base, grants[i].hex);
	}
}

static void test_session(void **state)
{
	(void)state;
	Memattach__Session session = MEMATTACH__SESSION__INIT;
	session.pid = 4242;
	session.executable = "e";
	session.command = "c";
	session.python_version = "v";
	session.state = MEMATTACH__SESSION__STATE__ENDED;
	session.ended = "x";
	session.attach_time_nanos = 1;
	session.end_time_nanos = 2;
	session.mode = 1;
	session.interval_bytes = 3;
	session.budget_ratio = 0.5;
	session.cost_ratio = 1;
	session.samples = 4;
	session.drops = 5;
	session.live_bytes = 2;
	session.live_bytes_variance = 4;
	session.peak_bytes = 8;
	session.peak_time_nanos = 6;
	session.allocated_bytes = 16;
	session.rss_bytes = 7;
	session.sites = 8;
	session.hook_running_us = 9;
	session.pause_us = 10;
	session.keep = 1;
	session.expires_time_nanos = 11;
	session.notice = "n";
	session.cgroup_bytes = 12;
	session.cgroup_limit_bytes = 13;
	session.fixed_interval = 1;
	session.uid = 14;
	Memattach__Session *list[] = {&session};
	Memattach__Sessions sessions = MEMATTACH__SESSIONS__INIT;
	sessions.n_session = 1;
	sessions.session = list;
	Memattach__Reply made = reply(MEMATTACH__REPLY__REPLY_SESSIONS);
	made.sessions = &sessions;
	expect_bytes(&made.base, PREFIX "427d"
					"0a7b"
					"089221"
					"120165"
					"1a0163"
					"220176"
					"2802"
					"320178"
					"3801"
					"4002"
					"4801"
					"5003"
					"59000000000000e03f"
					"61000000000000f03f"
					"6804"
					"7005"
					"790000000000000040"
					"8101"
					"0000000000001040"
					"8901"
					"0000000000002040"
					"900106"
					"9901"
					"0000000000003040"
					"a00107"
					"a80108"
					"b00109"
					"b8010a"
					"c00101"
					"c8010b"
					"d201016e"
					"d8010c"
					"e0010d"
					"e80101"
					"f0010e");
}

/* A reader skips what it does not know: a newer release's field 99. */
static void test_unknown_fields_are_skipped(void **state)
{
	(void)state;
	static const uint8_t packed[] = {8, 1, 0x9a, 6, 3, 'n', 'e', 'w', 0x52, 3, 8, 0x92, 0x21};
	Memattach__Request *parsed = memattach__request__unpack(NULL, sizeof packed, packed);
	assert_non_null(parsed);
	assert_int_equal(parsed->what_case, MEMATTACH__REQUEST__WHAT_STATUS);
	assert_int_equal(parsed->status->pid, 4242);
	memattach__request__free_unpacked(parsed, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_requests_with_content),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_session),
		cmocka_unit_test(test_unknown_fields_are_skipped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
