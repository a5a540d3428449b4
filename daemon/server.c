/* SPDX-License-Identifier: MIT */
/* See server.h. */
#include "daemon/server.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/requests.h"

enum {
	FIXED_FDS = 5, /* listening socket, signals, the workers' eventfds */
	POLL_MAX_MS = 1000,
	ACCEPT_PAUSE_MS = 1000, /* after the system ran out of descriptors */
	GOODBYE_MS = 1000,      /* for replies on the way when we stop */
};

/* Everything that is waited for, in this order: the fixed ones, connections, targets. */
struct wait {
	struct pollfd fds[FIXED_FDS + MA_CLIENTS + MA_SESSIONS];
	size_t connection_count;
	size_t session_count;
	struct ma_session *sessions[MA_SESSIONS];
};

static uint64_t monotonic_ms(void)
{
	return ma_clock_monotonic_ns() / 1000000;
}

static void close_connection(struct ma_server *server, size_t at)
{
	struct ma_connection *connection = server->connections[at];
	ma_requests_leave(server, connection);
	ma_connection_destroy(connection);
	server->connections[at] = server->connections[--server->connection_count];
}

static void accept_clients(struct ma_server *server, uint64_t now_ms)
{
	while (server->connection_count < MA_CLIENTS) {
		struct ma_error error;
		pid_t peer;
		int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS)
				server->accept_again_ms = now_ms + ACCEPT_PAUSE_MS;
			return;
		}
		if (ma_channel_check_peer(fd, &peer, &error) < 0) {
			ma_log_error(server->log, &error);
			close(fd);
			continue;
		}
		struct ma_connection *connection =
			ma_connection_create(fd, ++server->next_id, peer);
		if (connection)
			server->connections[server->connection_count++] = connection;
	}
}

/* Reads and answers. Returns false when the connection is to be closed. */
static bool serve(struct ma_server *server, struct ma_connection *connection, short events,
		  uint64_t now_ms)
{
	struct ma_error error;
	if (events & POLLIN && ma_connection_wants_input(connection)) {
		int code = ma_connection_read(connection, now_ms, &error);
		if (code > 0)
			code = ma_requests_answer(server, connection, &error);
		if (code < 0) {
			if (code == MA_ERR_PROTOCOL)
				ma_log_error(server->log, &error);
			return false;
		}
	}
	if (ma_connection_wants_output(connection) && ma_connection_write(connection, now_ms) < 0)
		return false;
	if (events & (POLLERR | POLLHUP | POLLNVAL) && !(events & POLLIN))
		return false;
	return !connection->broken && !ma_connection_is_stalled(connection, now_ms);
}

static void finish_snapshots(struct ma_server *server)
{
	struct ma_pack_job *job;
	while ((job = ma_pack_worker_take(&server->worker))) {
		for (size_t i = 0; i < server->connection_count; i++) {
			if (server->connections[i]->id == job->connection)
				ma_requests_finish_snapshot(server->connections[i], job);
		}
		ma_pack_job_destroy(job);
	}
}

static void finish_tables(struct ma_server *server)
{
	struct ma_unwind_job *job;
	while ((job = ma_unwind_worker_take(server->unwind_worker))) {
		for (size_t i = 0; i < server->sessions.count; i++) {
			if (ma_unwind_keeper_take(&server->sessions.all[i]->unwind, job))
				break;
		}
		ma_unwind_job_destroy(job);
	}
}

static void finish_names(struct ma_server *server)
{
	ma_native_cache_take(&server->names);
	for (size_t i = 0; i < server->sessions.count; i++) {
		struct ma_session *session = server->sessions.all[i];
		ma_native_note(&session->native, &session->notes);
	}
}

static void start_snapshots(struct ma_server *server)
{
	for (size_t i = 0; i < server->connection_count; i++) {
		if (!ma_pack_worker_has_room(&server->worker))
			return;
		if (server->connections[i]->snapshot_waits)
			ma_requests_start_snapshot(server, server->connections[i]);
	}
}

static void prepare(const struct ma_server *server, struct wait *wait, uint64_t now_ms)
{
	bool accepting = server->connection_count < MA_CLIENTS && now_ms >= server->accept_again_ms;
	wait->fds[0] = (struct pollfd){.fd = accepting ? server->listen_fd : -1, .events = POLLIN};
	wait->fds[1] = (struct pollfd){.fd = server->signal_fd, .events = POLLIN};
	wait->fds[2] = (struct pollfd){.fd = server->worker.base.done_fd, .events = POLLIN};
	int tables_fd = server->unwind_worker ? server->unwind_worker->base.done_fd : -1;
	wait->fds[3] = (struct pollfd){.fd = tables_fd, .events = POLLIN};
	wait->fds[4] = (struct pollfd){.fd = ma_native_cache_fd(&server->names), .events = POLLIN};
	struct pollfd *next = &wait->fds[FIXED_FDS];
	wait->connection_count = server->connection_count;
	for (size_t i = 0; i < server->connection_count; i++) {
		const struct ma_connection *connection = server->connections[i];
		short events = 0;
		if (ma_connection_wants_input(connection))
			events |= POLLIN;
		if (ma_connection_wants_output(connection))
			events |= POLLOUT;
		*next++ = (struct pollfd){.fd = connection->fd, .events = events};
	}
	wait->session_count = 0;
	for (size_t i = 0; i < server->sessions.count; i++) {
		struct ma_session *session = server->sessions.all[i];
		if (session->state != MA_SESSION_TRACKING)
			continue;
		wait->sessions[wait->session_count++] = session;
		*next++ = (struct pollfd){.fd = session->pidfd, .events = POLLIN};
	}
}

static int wait_ms(uint64_t now_ms, uint64_t next_ms)
{
	if (next_ms <= now_ms)
		return 0;
	uint64_t left_ms = next_ms - now_ms;
	return left_ms < POLL_MAX_MS ? (int)left_ms : POLL_MAX_MS;
}

static void handle(struct ma_server *server, const struct wait *wait)
{
	const struct pollfd *connections = &wait->fds[FIXED_FDS];
	const struct pollfd *targets = connections + wait->connection_count;
	uint64_t now_ms = monotonic_ms();
	/* Targets first: a request that came after a process ended sees that it ended. */
	for (size_t i = 0; i < wait->session_count; i++) {
		if (targets[i].revents)
			ma_session_exited(wait->sessions[i]);
	}
	if (wait->fds[1].revents)
		server->stopping = true;
	if (wait->fds[2].revents)
		finish_snapshots(server);
	if (wait->fds[3].revents)
		finish_tables(server);
	if (wait->fds[4].revents)
		finish_names(server);
	/* Backwards, because a closed connection's place is taken by the last one. */
	for (size_t i = wait->connection_count; i > 0; i--) {
		if (!serve(server, server->connections[i - 1], connections[i - 1].revents, now_ms))
			close_connection(server, i - 1);
	}
	if (wait->fds[0].revents)
		accept_clients(server, now_ms);
	start_snapshots(server);
}

static bool is_idle_for_too_long(struct ma_server *server, uint64_t now_ms)
{
	if (server->sessions.count || server->connection_count || server->idle_since_ms == 0)
		server->idle_since_ms = now_ms;
	return server->idle_ms && now_ms - server->idle_since_ms >= server->idle_ms;
}

/* Lets replies that are on the way arrive, for a moment. */
static void say_goodbye(struct ma_server *server)
{
	uint64_t deadline_ms = monotonic_ms() + GOODBYE_MS;
	for (size_t i = 0; i < server->connection_count; i++) {
		struct ma_connection *connection = server->connections[i];
		for (;;) {
			uint64_t now_ms = monotonic_ms();
			if (ma_connection_write(connection, now_ms) < 0 ||
			    !ma_connection_wants_output(connection) || now_ms >= deadline_ms)
				break;
			struct pollfd out = {.fd = connection->fd, .events = POLLOUT};
			poll(&out, 1, wait_ms(now_ms, deadline_ms));
		}
	}
}

int ma_server_run(struct ma_server *server, struct ma_error *error)
{
	int code = ma_pack_worker_start(&server->worker, error);
	struct wait wait;
	struct ma_error no_tables;
	server->sessions.log = server->log;
	server->unwind_worker = code == 0 ? ma_unwind_worker_start(&no_tables) : NULL;
	if (code == 0 && !server->unwind_worker)
		ma_log_error(server->log, &no_tables);
	ma_native_cache_init(&server->names);
	server->sessions.names = &server->names;
	while (code == 0 && !server->stopping) {
		uint64_t now_ms = monotonic_ms();
		uint64_t next_ms = ma_sessions_poll(&server->sessions, now_ms);
		if (is_idle_for_too_long(server, now_ms)) {
			ma_log_line(server->log, "leaving: nothing to do");
			break;
		}
		prepare(server, &wait, now_ms);
		size_t count = FIXED_FDS + wait.connection_count + wait.session_count;
		int ready = poll(wait.fds, count, wait_ms(monotonic_ms(), next_ms));
		if (ready >= 0)
			handle(server, &wait);
		else if (errno != EINTR)
			code = ma_error_set(error, MA_ERR_FAILED, errno, "waiting for clients");
	}
	say_goodbye(server);
	while (server->connection_count)
		close_connection(server, server->connection_count - 1);
	ma_sessions_fini(&server->sessions);
	ma_unwind_worker_stop(server->unwind_worker);
	ma_native_cache_fini(&server->names);
	ma_pack_worker_stop(&server->worker);
	return code;
}
