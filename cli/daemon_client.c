/* SPDX-License-Identifier: MIT */
/* Requests and replies; see daemon_client.h. */
#include "cli/daemon_client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/alloc.h"
#include "proto/channel.h"

enum { REPLY_MS = 60000, SEND_MS = 10000, BUSY_MS = 15000, BUSY_RETRY_MS = 20 };

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The daemon was there and is not any more, or does not answer: one message for all of it. */
static int lost(struct ma_client *client, struct ma_error *error, const char *doing)
{
	struct ma_error cause = *error;
	close(client->fd);
	client->fd = -1;
	ma_error_set(error, MA_ERR_FAILED, cause.sys_errno, "%s", doing);
	if (cause.code == MA_ERR_NO_PROCESS)
		ma_error_answer(error, "the daemon went away in the middle");
	else
		ma_error_answer(error, "%s%s%s", cause.what, cause.answer[0] ? ": " : "",
				cause.answer);
	ma_error_remedy(error, "The process itself is unharmed. Run the command again: it starts a "
			       "daemon and takes over.");
	return MA_ERR_FAILED;
}

static int wrong_protocol(struct ma_client *client, const Memattach__Reply *reply,
			  struct ma_error *error)
{
	ma_error_set(error, MA_ERR_FAILED, 0, "talking to the daemon");
	ma_error_answer(error,
			"it is memattach %.31s (protocol %u), this is " MA_RELEASE " (protocol %d)",
			reply->release, reply->protocol, MA_CHANNEL_PROTOCOL);
	ma_error_remedy(error,
			"End it with its own release's `memattach daemon --stop`, or with a "
			"SIGTERM, and run the command again. Attached processes are unharmed.");
	close(client->fd);
	client->fd = -1;
	return MA_ERR_FAILED;
}

static int receive(struct ma_client *client, Memattach__Reply **reply, struct ma_error *error,
		   const char *doing)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	int fds[MA_CHANNEL_MAX_FDS], fd_count = 0;
	if (ma_channel_receive(client->fd, MA_CHANNEL_MAX_REPLY_BYTES, &bytes, &size, fds,
			       &fd_count, REPLY_MS, error))
		return lost(client, error, doing);
	for (int i = 0; i < fd_count; i++)
		close(fds[i]);
	*reply = memattach__reply__unpack(NULL, size, bytes);
	free(bytes);
	if (!*reply) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the daemon's reply");
		ma_error_answer(error, "%zu bytes that do not parse", size);
		return lost(client, error, doing);
	}
	return 0;
}

/*
 * Sends the request and receives the reply of the expected kind. `doing` is for messages. On
 * success *reply is returned-owned.
 */
static int ask(struct ma_client *client, Memattach__Request *request, const int *fds, int fd_count,
	       Memattach__Reply__ReplyCase expected, Memattach__Reply **reply, const char *doing,
	       struct ma_error *error)
{
	struct ma_error scratch;
	if (!error)
		error = &scratch;
	if (client->fd < 0) {
		ma_error_set(error, MA_ERR_FAILED, 0, "%s", doing);
		ma_error_answer(error, "there is no connection to the daemon any more");
		ma_error_remedy(error, "Run the command again.");
		return MA_ERR_FAILED;
	}
	request->protocol = MA_CHANNEL_PROTOCOL;
	request->release = (char *)MA_RELEASE;
	size_t size = memattach__request__get_packed_size(request);
	uint8_t *bytes = ma_alloc(size, 1);
	memattach__request__pack(request, bytes);
	int code = ma_channel_send(client->fd, bytes, size, fds, fd_count, SEND_MS, error);
	free(bytes);
	if (code)
		return lost(client, error, doing);
	*reply = NULL;
	code = receive(client, reply, error, doing);
	if (code)
		return code;
	Memattach__Reply *answer = *reply;
	if (answer->protocol != MA_CHANNEL_PROTOCOL) {
		code = wrong_protocol(client, answer, error);
	} else if (answer->code) {
		code = ma_error_set(error,
				    answer->code < 0 ? (enum ma_err)answer->code : MA_ERR_FAILED, 0,
				    "%s", answer->what);
		ma_error_answer(error, "%s", answer->answer);
		ma_error_remedy(error, "%s", answer->remedy);
	} else if (answer->reply_case != expected) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the daemon's reply");
		ma_error_answer(error, "it is of another kind (%d)", (int)answer->reply_case);
		code = lost(client, error, doing);
	}
	snprintf(client->release, sizeof client->release, "%s", answer->release);
	if (code) {
		ma_client_free_reply(answer);
		*reply = NULL;
	}
	return code;
}

void ma_client_free_reply(Memattach__Reply *reply)
{
	if (reply)
		memattach__reply__free_unpacked(reply, NULL);
}

/* A request that is answered with `done`. */
static int ask_done(struct ma_client *client, Memattach__Request *request, const int *fds,
		    int fd_count, const char *doing, struct ma_error *error)
{
	Memattach__Reply *reply = NULL;
	int code = ask(client, request, fds, fd_count, MEMATTACH__REPLY__REPLY_DONE, &reply, doing,
		       error);
	ma_client_free_reply(reply);
	return code;
}

int ma_client_connect(struct ma_client *client, struct ma_error *error)
{
	pid_t child = client->child;
	*client = (struct ma_client){.fd = ma_channel_connect(error), .child = child};
	if (client->fd < 0)
		return client->fd;
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Empty empty = MEMATTACH__EMPTY__INIT;
	request.what_case = MEMATTACH__REQUEST__WHAT_HELLO;
	request.hello = &empty;
	int code = ask_done(client, &request, NULL, 0, "greeting the daemon", error);
	if (code)
		ma_client_close(client);
	return code;
}

void ma_client_close(struct ma_client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

bool ma_client_is_gone(const struct ma_client *client)
{
	return client->fd < 0;
}

static enum ma_grant grant_of(Memattach__Grant__State state)
{
	switch (state) {
	case MEMATTACH__GRANT__STATE__SERVED:
		return MA_GRANT_SERVED;
	case MEMATTACH__GRANT__STATE__NOT_SERVED:
		return MA_GRANT_NOT_SERVED;
	default:
		return MA_GRANT_GO;
	}
}

/* Asks for the target's lock until somebody else gives it back. */
static int begin(struct ma_client *client, Memattach__Request *request, pid_t pid, const char *verb,
		 enum ma_grant *grant, struct ma_error *error)
{
	int64_t deadline = now_ms() + BUSY_MS;
	char doing[64];
	snprintf(doing, sizeof doing, "%s %d", verb, (int)pid);
	for (;;) {
		Memattach__Reply *reply = NULL;
		int code = ask(client, request, NULL, 0, MEMATTACH__REPLY__REPLY_GRANT, &reply,
			       doing, error);
		if (code)
			return code;
		Memattach__Grant__State state = reply->grant->state;
		ma_client_free_reply(reply);
		if (state != MEMATTACH__GRANT__STATE__BUSY) {
			*grant = grant_of(state);
			return 0;
		}
		if (now_ms() > deadline)
			break;
		poll(NULL, 0, BUSY_RETRY_MS);
	}
	ma_error_set(error, MA_ERR_FAILED, 0, "%s", doing);
	ma_error_answer(error, "another memattach has been attaching or detaching it for %d s",
			BUSY_MS / 1000);
	ma_error_remedy(error, "Wait until that is done and run the command again.");
	return MA_ERR_FAILED;
}

int ma_client_begin_attach(struct ma_client *client, pid_t pid, enum ma_grant *grant,
			   struct ma_error *error)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Target target = MEMATTACH__TARGET__INIT;
	target.pid = pid;
	request.what_case = MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH;
	request.begin_attach = &target;
	return begin(client, &request, pid, "attaching to", grant, error);
}

int ma_client_begin_detach(struct ma_client *client, pid_t pid, enum ma_grant *grant,
			   struct ma_error *error)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Target target = MEMATTACH__TARGET__INIT;
	target.pid = pid;
	request.what_case = MEMATTACH__REQUEST__WHAT_BEGIN_DETACH;
	request.begin_detach = &target;
	return begin(client, &request, pid, "detaching from", grant, error);
}

int ma_client_attached(struct ma_client *client, const Memattach__Attached *attached, int pidfd,
		       int area_fd, int unwind_fd, struct ma_error *error)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Attached copy = *attached;
	const int fds[] = {pidfd, area_fd, unwind_fd};
	char doing[64];
	snprintf(doing, sizeof doing, "handing %d to the daemon", attached->pid);
	request.what_case = MEMATTACH__REQUEST__WHAT_ATTACHED;
	request.attached = &copy;
	return ask_done(client, &request, fds, unwind_fd < 0 ? 2 : 3, doing, error);
}

/* The requests that name a target and are answered with `done`. Every such member of the union is a
 * pointer to the same message, so the first stands for all of them. */
static int tell(struct ma_client *client, Memattach__Request__WhatCase what, pid_t pid,
		const char *verb, struct ma_error *error)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Target target = MEMATTACH__TARGET__INIT;
	char doing[64];
	snprintf(doing, sizeof doing, "%s %d", verb, (int)pid);
	target.pid = pid;
	request.what_case = what;
	request.cancel_attach = &target;
	return ask_done(client, &request, NULL, 0, doing, error);
}

int ma_client_cancel_attach(struct ma_client *client, pid_t pid, struct ma_error *error)
{
	return tell(client, MEMATTACH__REQUEST__WHAT_CANCEL_ATTACH, pid, "giving up the attach to",
		    error);
}

int ma_client_detached(struct ma_client *client, pid_t pid, struct ma_error *error)
{
	return tell(client, MEMATTACH__REQUEST__WHAT_DETACHED, pid, "ending the session of", error);
}

int ma_client_dismiss(struct ma_client *client, pid_t pid, struct ma_error *error)
{
	return tell(client, MEMATTACH__REQUEST__WHAT_DISMISS, pid, "forgetting", error);
}

int ma_client_sessions(struct ma_client *client, pid_t pid, Memattach__Reply **reply,
		       struct ma_error *error)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Empty empty = MEMATTACH__EMPTY__INIT;
	request.what_case = MEMATTACH__REQUEST__WHAT_LIST;
	request.list = &empty;
	int code = ask(client, &request, NULL, 0, MEMATTACH__REPLY__REPLY_SESSIONS, reply,
		       "asking the daemon what is attached", error);
	if (code || !pid)
		return code;
	/* The list is short; picking from it leaves no second way to say "unknown". */
	Memattach__Sessions *sessions = (*reply)->sessions;
	size_t kept = 0;
	for (size_t i = 0; i < sessions->n_session; i++) {
		if (sessions->session[i]->pid == pid)
			sessions->session[kept++] = sessions->session[i];
		else
			memattach__session__free_unpacked(sessions->session[i], NULL);
	}
	sessions->n_session = kept;
	return 0;
}

int ma_client_snapshot(struct ma_client *client, pid_t pid, bool native, Memattach__Reply **reply,
		       struct ma_error *error)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__SnapshotQuery query = MEMATTACH__SNAPSHOT_QUERY__INIT;
	char doing[64];
	snprintf(doing, sizeof doing, "asking the daemon for the heap of %d", (int)pid);
	query.pid = pid;
	query.without_native = !native;
	request.what_case = MEMATTACH__REQUEST__WHAT_SNAPSHOT;
	request.snapshot = &query;
	return ask(client, &request, NULL, 0, MEMATTACH__REPLY__REPLY_SNAPSHOT, reply, doing,
		   error);
}

int ma_client_configure(struct ma_client *client, const Memattach__Configure *configure,
			struct ma_error *error)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Configure copy = *configure;
	char doing[64];
	snprintf(doing, sizeof doing, "changing the settings of %d", configure->pid);
	request.what_case = MEMATTACH__REQUEST__WHAT_CONFIGURE;
	request.configure = &copy;
	return ask_done(client, &request, NULL, 0, doing, error);
}

int ma_client_shutdown(struct ma_client *client, struct ma_error *error)
{
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	Memattach__Empty empty = MEMATTACH__EMPTY__INIT;
	request.what_case = MEMATTACH__REQUEST__WHAT_SHUTDOWN;
	request.shutdown = &empty;
	return ask_done(client, &request, NULL, 0, "ending the daemon", error);
}
