/* SPDX-License-Identifier: MIT */
/* See requests.h. One function per request; all of them fill a reply, which is packed in one place.
 */
#include "daemon/requests.h"

#include <errno.h>
#include <string.h>

#include "daemon/session_report.h"
#include "daemon/viewer.h"
#include "proto/control.pb-c.h"

/* A request being answered. */
struct call {
	struct ma_server *server;
	struct ma_connection *connection;
	const Memattach__Request *request;
	Memattach__Reply reply;
	Memattach__Empty done;
	Memattach__Grant grant;
	Memattach__Sessions sessions;
	struct ma_pool pool; /* of the reply's messages */
	bool later;          /* the reply comes when a snapshot is made */
};

static void send_reply(struct ma_connection *connection, Memattach__Reply *reply)
{
	reply->protocol = MA_CHANNEL_PROTOCOL;
	reply->release = (char *)MA_RELEASE;
	uint8_t *room =
		ma_connection_reply_room(connection, memattach__reply__get_packed_size(reply));
	if (!room)
		return; /* no memory: the connection is closed, which the client understands */
	memattach__reply__pack(reply, room);
	ma_connection_reply_packed(connection);
}

static void set_error(Memattach__Reply *reply, struct ma_error *error)
{
	reply->code = error->code;
	reply->what = error->what;
	reply->answer = error->answer;
	reply->remedy = error->remedy;
	reply->reply_case = MEMATTACH__REPLY__REPLY__NOT_SET;
}

static void answer_done(struct call *call)
{
	call->done = (Memattach__Empty)MEMATTACH__EMPTY__INIT;
	call->reply.reply_case = MEMATTACH__REPLY__REPLY_DONE;
	call->reply.done = &call->done;
}

static void answer_grant(struct call *call, Memattach__Grant__State state)
{
	call->grant = (Memattach__Grant)MEMATTACH__GRANT__INIT;
	call->grant.state = state;
	call->reply.reply_case = MEMATTACH__REPLY__REPLY_GRANT;
	call->reply.grant = &call->grant;
}

static int unknown_process(pid_t pid, struct ma_error *error)
{
	int code = ma_error_set(error, MA_ERR_NO_PROCESS, 0, "looking for process %d", pid);
	ma_error_answer(error, "the daemon knows nothing of it");
	ma_error_remedy(error, "Attach to it: memattach attach %d.", pid);
	return code;
}

static struct ma_session *session_of(const struct call *call, pid_t pid)
{
	return ma_sessions_find(&call->server->sessions, pid);
}

static int hello(struct call *call, struct ma_error *error)
{
	(void)error;
	answer_done(call);
	return 0;
}

static int begin_attach(struct call *call, struct ma_error *error)
{
	(void)error;
	pid_t pid = call->request->begin_attach->pid;
	uint64_t owner = ma_locks_owner(&call->server->locks, pid);
	if (owner && owner != call->connection->id)
		answer_grant(call, MEMATTACH__GRANT__STATE__BUSY);
	else if (ma_session_is_tracking(session_of(call, pid)))
		answer_grant(call, MEMATTACH__GRANT__STATE__SERVED);
	else if (ma_locks_take(&call->server->locks, pid, call->connection->id))
		answer_grant(call, MEMATTACH__GRANT__STATE__GRANTED);
	else
		answer_grant(call, MEMATTACH__GRANT__STATE__BUSY);
	return 0;
}

static int attached(struct call *call, struct ma_error *error)
{
	const Memattach__Attached *from = call->request->attached;
	struct ma_connection *connection = call->connection;
	uint64_t owner = ma_locks_owner(&call->server->locks, from->pid);
	if (connection->fd_count != 2 && connection->fd_count != 3) {
		int code = ma_error_set(error, MA_ERR_PROTOCOL, 0, "taking over process %d",
					from->pid);
		ma_error_answer(error, "%d descriptors came with it instead of 2 or 3",
				connection->fd_count);
		return code;
	}
	if (owner && owner != connection->id) {
		int code =
			ma_error_set(error, MA_ERR_FAILED, 0, "taking over process %d", from->pid);
		ma_error_answer(error, "somebody else is attaching to it");
		return code;
	}
	struct ma_session *before = session_of(call, from->pid);
	if (ma_session_is_tracking(before))
		ma_session_finish(before, MA_SESSION_HOOK_LOST, "attached anew by somebody else");
	struct ma_session_request request = {
		.pid = from->pid,
		.executable = from->executable,
		.command = from->command,
		.python_version = from->python_version,
		.notice = from->notice,
		.hook_running_us = from->hook_running_us,
		.pause_us = from->pause_us,
		.interval_bytes = from->interval_bytes,
		.uid = from->uid,
		.fixed_interval = from->fixed_interval,
		.keep = from->keep,
		.budget_ratio = from->budget_ratio,
		.debuginfod_urls = from->debuginfod_urls,
		.unwind_worker = call->server->unwind_worker,
	};
	struct ma_session *session;
	int pidfd = connection->fds[0], area_fd = connection->fds[1];
	int unwind_fd = connection->fd_count == 3 ? connection->fds[2] : -1;
	connection->fd_count = 0;
	int code = ma_session_create(&session, &request, pidfd, area_fd, unwind_fd, error);
	if (code == 0) {
		code = ma_sessions_add(&call->server->sessions, session, error);
		if (code < 0)
			ma_session_destroy(session);
	}
	ma_locks_give(&call->server->locks, from->pid, connection->id);
	if (code == 0)
		answer_done(call);
	return code;
}

static int cancel_attach(struct call *call, struct ma_error *error)
{
	(void)error;
	ma_locks_give(&call->server->locks, call->request->cancel_attach->pid,
		      call->connection->id);
	answer_done(call);
	return 0;
}

static int begin_detach(struct call *call, struct ma_error *error)
{
	(void)error;
	pid_t pid = call->request->begin_detach->pid;
	if (!ma_locks_take(&call->server->locks, pid, call->connection->id)) {
		answer_grant(call, MEMATTACH__GRANT__STATE__BUSY);
		return 0;
	}
	struct ma_session *session = session_of(call, pid);
	if (!ma_session_is_tracking(session)) {
		answer_grant(call, MEMATTACH__GRANT__STATE__NOT_SERVED);
		return 0;
	}
	ma_session_detach_begin(session);
	answer_grant(call, MEMATTACH__GRANT__STATE__GRANTED);
	return 0;
}

static int detached(struct call *call, struct ma_error *error)
{
	(void)error;
	pid_t pid = call->request->detached->pid;
	struct ma_session *session = session_of(call, pid);
	if (ma_session_is_tracking(session))
		ma_session_finish(session, MA_SESSION_DETACHED, "detached");
	ma_locks_give(&call->server->locks, pid, call->connection->id);
	answer_done(call);
	return 0;
}

/* Replies with the sessions of one process, or of all (pid 0). */
static int answer_sessions(struct call *call, pid_t pid, struct ma_error *error)
{
	struct ma_sessions *sessions = &call->server->sessions;
	Memattach__Session **reports =
		ma_pool_alloc(&call->pool, sessions->count + 1, sizeof *reports);
	call->sessions = (Memattach__Sessions)MEMATTACH__SESSIONS__INIT;
	call->sessions.session = reports;
	for (size_t i = 0; reports && i < sessions->count; i++) {
		struct ma_session *session = sessions->all[i];
		if (pid && session->pid != pid)
			continue;
		ma_session_is_tracking(session);
		Memattach__Session *report = ma_session_report(session, &call->pool);
		if (report)
			ma_session_report_cost(session, report, &call->pool);
		reports[call->sessions.n_session++] = report;
	}
	if (call->pool.failed)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "listing the sessions");
	call->reply.reply_case = MEMATTACH__REPLY__REPLY_SESSIONS;
	call->reply.sessions = &call->sessions;
	return 0;
}

static int list(struct call *call, struct ma_error *error)
{
	return answer_sessions(call, 0, error);
}

static int status(struct call *call, struct ma_error *error)
{
	pid_t pid = call->request->status->pid;
	struct ma_session *session = session_of(call, pid);
	if (!session)
		return unknown_process(pid, error);
	ma_session_touch(session);
	return answer_sessions(call, pid, error);
}

static int snapshot(struct call *call, struct ma_error *error)
{
	const Memattach__SnapshotQuery *query = call->request->snapshot;
	struct ma_session *session = session_of(call, query->pid);
	if (!session)
		return unknown_process(query->pid, error);
	ma_session_is_tracking(session);
	ma_session_touch(session);
	struct ma_connection *connection = call->connection;
	connection->snapshot_pid = query->pid;
	connection->snapshot_query = (struct ma_snapshot_query){
		.max_sites = query->max_sites,
		.held_age_ms = query->held_age_ms,
		.without_series = query->without_series,
		.quick = query->quick,
		.without_native = query->without_native,
	};
	connection->snapshot_waits = true;
	call->later = true;
	return 0;
}

static int dismiss(struct call *call, struct ma_error *error)
{
	pid_t pid = call->request->dismiss->pid;
	if (ma_sessions_dismiss(&call->server->sessions, pid)) {
		answer_done(call);
		return 0;
	}
	if (!session_of(call, pid))
		return unknown_process(pid, error);
	int code = ma_error_set(error, MA_ERR_USAGE, 0, "forgetting process %d", pid);
	ma_error_answer(error, "it is being tracked");
	ma_error_remedy(error, "End that first: memattach detach %d.", pid);
	return code;
}

static int stop(struct call *call, struct ma_error *error)
{
	(void)error;
	call->server->stopping = true;
	answer_done(call);
	return 0;
}

static int configure(struct call *call, struct ma_error *error)
{
	const Memattach__Configure *from = call->request->configure;
	struct ma_session *session = session_of(call, from->pid);
	if (!ma_session_is_tracking(session))
		return unknown_process(from->pid, error);
	ma_session_touch(session);
	session->keep = from->keep;
	if (from->interval_bytes)
		ma_session_set_interval(session, from->interval_bytes);
	answer_done(call);
	return 0;
}

static int live(struct call *call, struct ma_error *error)
{
	const Memattach__LiveQuery *query = call->request->live;
	struct ma_session *session = session_of(call, query->pid);
	Memattach__LiveView *view;
	if (!session)
		return unknown_process(query->pid, error);
	ma_session_is_tracking(session);
	ma_session_touch(session);
	int code = ma_viewer_answer(session, query, &call->pool, &view, error);
	if (code < 0)
		return code;
	view->session = ma_session_report(session, &call->pool);
	call->reply.reply_case = MEMATTACH__REPLY__REPLY_LIVE;
	call->reply.live = view;
	return 0;
}

typedef int handler(struct call *call, struct ma_error *error);

static handler *const handlers[] = {
	[MEMATTACH__REQUEST__WHAT_HELLO] = hello,
	[MEMATTACH__REQUEST__WHAT_BEGIN_ATTACH] = begin_attach,
	[MEMATTACH__REQUEST__WHAT_ATTACHED] = attached,
	[MEMATTACH__REQUEST__WHAT_CANCEL_ATTACH] = cancel_attach,
	[MEMATTACH__REQUEST__WHAT_BEGIN_DETACH] = begin_detach,
	[MEMATTACH__REQUEST__WHAT_DETACHED] = detached,
	[MEMATTACH__REQUEST__WHAT_LIST] = list,
	[MEMATTACH__REQUEST__WHAT_STATUS] = status,
	[MEMATTACH__REQUEST__WHAT_SNAPSHOT] = snapshot,
	[MEMATTACH__REQUEST__WHAT_DISMISS] = dismiss,
	[MEMATTACH__REQUEST__WHAT_SHUTDOWN] = stop,
	[MEMATTACH__REQUEST__WHAT_CONFIGURE] = configure,
	[MEMATTACH__REQUEST__WHAT_LIVE] = live,
};

static int dispatch(struct call *call, struct ma_error *error)
{
	size_t what = (size_t)call->request->what_case;
	if (call->request->protocol != MA_CHANNEL_PROTOCOL) {
		int code = ma_error_set(error, MA_ERR_FAILED, 0, "answering a request");
		ma_error_answer(error, "it speaks protocol %u, this daemon %d",
				call->request->protocol, MA_CHANNEL_PROTOCOL);
		ma_error_remedy(error, "Use one release of memattach: end this daemon with "
				       "memattach daemon --stop.");
		return code;
	}
	if (what >= sizeof handlers / sizeof handlers[0] || !handlers[what]) {
		int code = ma_error_set(error, MA_ERR_FAILED, 0, "answering a request");
		ma_error_answer(error, "this daemon, " MA_RELEASE ", does not know it");
		return code;
	}
	return handlers[what](call, error);
}

int ma_requests_answer(struct ma_server *server, struct ma_connection *connection,
		       struct ma_error *error)
{
	Memattach__Request *request =
		memattach__request__unpack(NULL, connection->payload_bytes, connection->payload);
	if (!request) {
		int code = ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading a client's request");
		ma_error_answer(error, "it does not parse");
		return code;
	}
	struct ma_error failure = {0};
	struct call call = {.server = server, .connection = connection, .request = request};
	call.reply = (Memattach__Reply)MEMATTACH__REPLY__INIT;
	if (dispatch(&call, &failure) < 0) {
		set_error(&call.reply, &failure);
		ma_log_error(server->log, &failure);
	}
	ma_connection_end_request(connection);
	if (!call.later)
		send_reply(connection, &call.reply);
	ma_pool_fini(&call.pool);
	memattach__request__free_unpacked(request, NULL);
	return 0;
}

static void reply_error(struct ma_connection *connection, struct ma_error *error)
{
	Memattach__Reply reply = MEMATTACH__REPLY__INIT;
	set_error(&reply, error);
	send_reply(connection, &reply);
}

void ma_requests_start_snapshot(struct ma_server *server, struct ma_connection *connection)
{
	struct ma_error error = {0};
	struct ma_snapshot made = {0};
	struct ma_session *session = ma_sessions_find(&server->sessions, connection->snapshot_pid);
	int code = session ? ma_snapshot_build(session, &connection->snapshot_query, &made, &error)
			   : unknown_process(connection->snapshot_pid, &error);
	connection->snapshot_waits = false;
	if (code == 0)
		code = ma_pack_worker_submit(&server->worker, connection->id, &made, &error);
	if (code == 0) {
		connection->snapshot_packs = true;
		return;
	}
	ma_snapshot_fini(&made);
	reply_error(connection, &error);
}

void ma_requests_finish_snapshot(struct ma_connection *connection, const struct ma_pack_job *job)
{
	connection->snapshot_packs = false;
	if (job->code < 0) {
		struct ma_error error = job->error;
		reply_error(connection, &error);
		return;
	}
	Memattach__Reply reply = MEMATTACH__REPLY__INIT;
	reply.reply_case = MEMATTACH__REPLY__REPLY_SNAPSHOT;
	reply.snapshot = (ProtobufCBinaryData){.len = job->size, .data = job->bytes};
	send_reply(connection, &reply);
}

void ma_requests_leave(struct ma_server *server, const struct ma_connection *connection)
{
	pid_t pid;
	while ((pid = ma_locks_give_next(&server->locks, connection->id))) {
		struct ma_session *session = ma_sessions_find(&server->sessions, pid);
		if (session)
			ma_session_detach_cancel(session);
	}
}
