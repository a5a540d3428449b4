/* SPDX-License-Identifier: MIT */
/* Questions and answers without waiting; see link.h. */
#include "cli/live/link.h"

#include <stdlib.h>
#include <unistd.h>

#include "cli/alloc.h"
#include "cli/daemon_client.h"
#include "proto/channel.h"

enum { SEND_MS = 1000, RECEIVE_MS = 2000 };

void ma_link_init(struct ma_link *link)
{
	*link = (struct ma_link){.fd = -1};
}

void ma_link_close(struct ma_link *link)
{
	if (link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->asked = false;
}

static int lose(struct ma_link *link, uint64_t now_ms, int code)
{
	ma_link_close(link);
	link->retry_ms = now_ms + MA_LINK_RETRY_MS;
	return code;
}

int ma_link_ask(struct ma_link *link, Memattach__LiveQuery *query, uint64_t now_ms,
		struct ma_error *error)
{
	if (link->asked)
		return 0;
	if (link->fd < 0) {
		if (now_ms < link->retry_ms)
			return ma_error_set(error, MA_ERR_NO_PROCESS, 0, "asking the daemon");
		link->fd = ma_channel_connect(error);
		if (link->fd < 0)
			return lose(link, now_ms, link->fd);
	}
	Memattach__Request request = MEMATTACH__REQUEST__INIT;
	request.protocol = MA_CHANNEL_PROTOCOL;
	request.release = (char *)MA_RELEASE;
	request.what_case = MEMATTACH__REQUEST__WHAT_LIVE;
	request.live = query;
	size_t bytes = memattach__request__get_packed_size(&request);
	uint8_t *packed = ma_alloc(bytes, 1);
	memattach__request__pack(&request, packed);
	int code = ma_channel_send(link->fd, packed, bytes, NULL, 0, SEND_MS, error);
	free(packed);
	if (code)
		return lose(link, now_ms, code);
	link->asked = true;
	link->asked_ms = now_ms;
	return 0;
}

static int check(const Memattach__Reply *reply, struct ma_error *error)
{
	if (reply->protocol != MA_CHANNEL_PROTOCOL) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the daemon's answer");
		ma_error_answer(error, "the daemon is memattach %.31s, of another protocol",
				reply->release);
		return MA_ERR_PROTOCOL;
	}
	if (reply->code) {
		int code = ma_error_set(error,
					reply->code < 0 ? (enum ma_err)reply->code : MA_ERR_FAILED,
					0, "%s", reply->what);
		ma_error_answer(error, "%s", reply->answer);
		ma_error_remedy(error, "%s", reply->remedy);
		return code;
	}
	if (reply->reply_case != MEMATTACH__REPLY__REPLY_LIVE || !reply->live->session ||
	    !reply->live->memory || !reply->live->totals || !reply->live->process) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the daemon's answer");
		ma_error_answer(error, "it is none to this question");
		return MA_ERR_PROTOCOL;
	}
	return 0;
}

int ma_link_receive(struct ma_link *link, Memattach__Reply **reply, uint64_t now_ms,
		    struct ma_error *error)
{
	uint8_t *bytes = NULL;
	size_t size = 0;
	int fds[MA_CHANNEL_MAX_FDS], fd_count = 0;
	int code = ma_channel_receive(link->fd, MA_CHANNEL_MAX_REPLY_BYTES, &bytes, &size, fds,
				      &fd_count, RECEIVE_MS, error);
	if (code)
		return lose(link, now_ms, code);
	for (int i = 0; i < fd_count; i++)
		close(fds[i]);
	*reply = memattach__reply__unpack(NULL, size, bytes);
	free(bytes);
	link->asked = false;
	if (!*reply) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the daemon's answer");
		ma_error_answer(error, "it does not parse");
		return lose(link, now_ms, MA_ERR_PROTOCOL);
	}
	code = check(*reply, error);
	if (code) {
		ma_client_free_reply(*reply);
		*reply = NULL;
	}
	return code == MA_ERR_PROTOCOL ? lose(link, now_ms, code) : code;
}

bool ma_link_is_silent(const struct ma_link *link, uint64_t now_ms)
{
	return link->asked && now_ms - link->asked_ms > MA_LINK_SILENT_MS;
}
