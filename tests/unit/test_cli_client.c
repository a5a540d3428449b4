/* SPDX-License-Identifier: MIT */
/* The client side of the daemon's socket, against a daemon that is played here: every way in which
 * an answer can be wrong or missing ends in a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/daemon_client.h"
#include "proto/channel.h"

/* What the played daemon does with one request. */
enum act { ACT_DONE, ACT_GRANT, ACT_REFUSE, ACT_LEAVE, ACT_GARBAGE, ACT_OLD, ACT_SESSIONS };

struct step {
	enum act act;
	Memattach__Grant__State grant;
};

/* One scene: what the daemon does, request by request, and what it was asked. */
struct scene {
	const struct step *steps;
	int count;
	int fd;
	int asked;
	Memattach__Request__WhatCase what[8];
	int fds_got;
	pthread_t thread;
};

static void answer(int fd, const Memattach__Reply *reply)
{
	size_t size = memattach__reply__get_packed_size(reply);
	uint8_t *bytes = malloc(size + 1);
	memattach__reply__pack(reply, bytes);
	ma_channel_send(fd, bytes, size, NULL, 0, 1000, NULL);
	free(bytes);
}

static void act(struct scene *scene, const struct step *step)
{
	Memattach__Reply reply = MEMATTACH__REPLY__INIT;
	Memattach__Empty empty = MEMATTACH__EMPTY__INIT;
	Memattach__Grant grant = MEMATTACH__GRANT__INIT;
	Memattach__Sessions sessions = MEMATTACH__SESSIONS__INIT;
	Memattach__Session first = MEMATTACH__SESSION__INIT, second = MEMATTACH__SESSION__INIT;
	Memattach__Session *list[] = {&first, &second};
	first.pid = 41;
	second.pid = 42;
	reply.protocol = step->act == ACT_OLD ? 99 : MA_CHANNEL_PROTOCOL;
	reply.release = (char *)"9.9";
	reply.reply_case = MEMATTACH__REPLY__REPLY_DONE;
	reply.done = &empty;
	switch (step->act) {
	case ACT_DONE:
	case ACT_OLD:
	case ACT_LEAVE:
		break;
	case ACT_GRANT:
		reply.reply_case = MEMATTACH__REPLY__REPLY_GRANT;
		reply.grant = &grant;
		grant.state = step->grant;
		break;
	case ACT_REFUSE:
		reply.reply_case = MEMATTACH__REPLY__REPLY__NOT_SET;
		reply.code = MA_ERR_UNSAFE;
		reply.what = (char *)"doing that";
		reply.answer = (char *)"no";
		reply.remedy = (char *)"ask again";
		break;
	case ACT_GARBAGE:
		ma_channel_send(scene->fd, "\xff\xff\xff", 3, NULL, 0, 1000, NULL);
		return;
	case ACT_SESSIONS:
		reply.reply_case = MEMATTACH__REPLY__REPLY_SESSIONS;
		reply.sessions = &sessions;
		sessions.n_session = 2;
		sessions.session = list;
		break;
	}
	answer(scene->fd, &reply);
}

static void *play(void *argument)
{
	struct scene *scene = argument;
	for (int i = 0; i < scene->count; i++) {
		uint8_t *bytes;
		size_t size;
		int fds[MA_CHANNEL_MAX_FDS], fd_count;
		if (ma_channel_receive(scene->fd, MA_CHANNEL_MAX_REQUEST_BYTES, &bytes, &size, fds,
				       &fd_count, 5000, NULL))
			break;
		for (int j = 0; j < fd_count; j++)
			close(fds[j]);
		scene->fds_got += fd_count;
		Memattach__Request *request = memattach__request__unpack(NULL, size, bytes);
		free(bytes);
		scene->what[scene->asked++] = request->what_case;
		memattach__request__free_unpacked(request, NULL);
		if (scene->steps[i].act == ACT_LEAVE)
			break;
		act(scene, &scene->steps[i]);
	}
	close(scene->fd);
	return NULL;
}

static struct ma_client open_scene(struct scene *scene, const struct step *steps, int count)
{
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	*scene = (struct scene){.steps = steps, .count = count, .fd = ends[1]};
	assert_int_equal(pthread_create(&scene->thread, NULL, play, scene), 0);
	return (struct ma_client){.fd = ends[0]};
}

static void close_scene(struct scene *scene, struct ma_client *client)
{
	ma_client_close(client);
	pthread_join(scene->thread, NULL);
}

#define OPEN(...)                                                                                  \
	static const struct step steps[] = {__VA_ARGS__};                                          \
	struct scene scene;                                                                        \
	struct ma_error error = {0};                                                               \
	struct ma_client client = open_scene(&scene, steps, sizeof steps / sizeof steps[0]);       \
	(void)state

static void test_waits_while_busy(void **state)
{
	OPEN({ACT_GRANT, MEMATTACH__GRANT__STATE__BUSY}, {ACT_GRANT, MEMATTACH__GRANT__STATE__BUSY},
	     {ACT_GRANT, MEMATTACH__GRANT__STATE__SERVED});
	enum ma_grant grant = MA_GRANT_GO;
	assert_int_equal(ma_client_begin_attach(&client, 42, &grant, &error), 0);
	assert_int_equal(grant, MA_GRANT_SERVED);
	close_scene(&scene, &client);
	assert_int_equal(scene.asked, 3);
	assert_int_equal(scene.what[2], MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH);
}

static void test_hands_over_descriptors(void **state)
{
	OPEN({ACT_GRANT, MEMATTACH__GRANT__STATE__GRANTED}, {ACT_DONE, 0}, {ACT_DONE, 0},
	     {ACT_DONE, 0});
	enum ma_grant grant = MA_GRANT_SERVED;
	Memattach__Attached attached = MEMATTACH__ATTACHED__INIT;
	attached.pid = 42;
	assert_int_equal(ma_client_begin_attach(&client, 42, &grant, &error), 0);
	assert_int_equal(grant, MA_GRANT_GO);
	assert_int_equal(ma_client_attached(&client, &attached, 0, 1, -1, &error), 0);
	assert_int_equal(ma_client_attached(&client, &attached, 0, 1, 2, &error), 0);
	assert_int_equal(ma_client_detached(&client, 42, &error), 0);
	assert_string_equal(client.release, "9.9");
	close_scene(&scene, &client);
	assert_int_equal(scene.fds_got, 5);
	assert_int_equal(scene.what[1], MEMATTACH__REQUEST__WHAT_ATTACHED);
	assert_int_equal(scene.what[3], MEMATTACH__REQUEST__WHAT_DETACHED);
}

static void test_refusal_is_passed_on(void **state)
{
	OPEN({ACT_REFUSE, 0}, {ACT_DONE, 0});
	assert_int_equal(ma_client_dismiss(&client, 42, &error), MA_ERR_UNSAFE);
	assert_string_equal(error.what, "doing that");
	assert_string_equal(error.answer, "no");
	assert_string_equal(error.remedy, "ask again");
	/* A refusal is an answer: the connection is good for the next request. */
	assert_false(ma_client_is_gone(&client));
	assert_int_equal(ma_client_cancel_attach(&client, 42, &error), 0);
	close_scene(&scene, &client);
}

static void test_daemon_goes_away(void **state)
{
	OPEN({ACT_LEAVE, 0});
	Memattach__Reply *reply = NULL;
	assert_int_equal(ma_client_snapshot(&client, 42, true, &reply, &error), MA_ERR_FAILED);
	assert_null(reply);
	assert_non_null(strstr(error.what, "42"));
	assert_non_null(strstr(error.answer, "the daemon went away"));
	assert_non_null(strstr(error.remedy, "again"));
	assert_true(ma_client_is_gone(&client));
	/* And it stays said. */
	assert_int_equal(ma_client_sessions(&client, 0, &reply, &error), MA_ERR_FAILED);
	close_scene(&scene, &client);
}

static void test_garbage(void **state)
{
	OPEN({ACT_GARBAGE, 0});
	Memattach__Reply *reply = NULL;
	assert_int_equal(ma_client_sessions(&client, 0, &reply, &error), MA_ERR_FAILED);
	assert_true(ma_client_is_gone(&client));
	close_scene(&scene, &client);
}

static void test_answer_of_another_kind(void **state)
{
	OPEN({ACT_DONE, 0});
	Memattach__Reply *reply = NULL;
	assert_int_equal(ma_client_sessions(&client, 0, &reply, &error), MA_ERR_FAILED);
	assert_null(reply);
	assert_true(ma_client_is_gone(&client));
	close_scene(&scene, &client);
}

static void test_other_protocol(void **state)
{
	OPEN({ACT_OLD, 0});
	assert_int_equal(ma_client_shutdown(&client, &error), MA_ERR_FAILED);
	assert_non_null(
		strstr(error.answer, "it is memattach 9.9 (protocol 99), this is " MA_RELEASE));
	assert_non_null(strstr(error.remedy, "memattach daemon --stop"));
	close_scene(&scene, &client);
}

static void test_sessions_of_one(void **state)
{
	OPEN({ACT_SESSIONS, 0}, {ACT_SESSIONS, 0}, {ACT_SESSIONS, 0});
	static const struct {
		pid_t pid;
		size_t count;
	} cases[] = {{0, 2}, {42, 1}, {43, 0}};
	for (size_t i = 0; i < 3; i++) {
		Memattach__Reply *reply = NULL;
		assert_int_equal(ma_client_sessions(&client, cases[i].pid, &reply, &error), 0);
		assert_int_equal(reply->sessions->n_session, cases[i].count);
		if (cases[i].count == 1)
			assert_int_equal(reply->sessions->session[0]->pid, cases[i].pid);
		ma_client_free_reply(reply);
	}
	close_scene(&scene, &client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waits_while_busy),
		cmocka_unit_test(test_hands_over_descriptors),
		cmocka_unit_test(test_refusal_is_passed_on),
		cmocka_unit_test(test_daemon_goes_away),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_answer_of_another_kind),
		cmocka_unit_test(test_other_protocol),
		cmocka_unit_test(test_sessions_of_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
