/* SPDX-License-Identifier: MIT */
/* See connection.h. */
#include "daemon/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct ma_connection *ma_connection_create(int fd, uint64_t id, pid_t peer)
{
	struct ma_connection *connection = calloc(1, sizeof *connection);
	int flags = fcntl(fd, F_GETFL);
	if (!connection || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		free(connection);
		close(fd);
		return NULL;
	}
	connection->fd = fd;
	connection->id = id;
	connection->peer = peer;
	return connection;
}

void ma_connection_end_request(struct ma_connection *connection)
{
	for (int i = 0; i < connection->fd_count; i++) {
		if (connection->fds[i] >= 0)
			close(connection->fds[i]);
	}
	connection->fd_count = 0;
	free(connection->payload);
	connection->payload = NULL;
	connection->payload_bytes = 0;
	connection->payload_got = 0;
	connection->header_got = 0;
}

void ma_connection_destroy(struct ma_connection *connection)
{
	if (!connection)
		return;
	ma_connection_end_request(connection);
	free(connection->out);
	close(connection->fd);
	free(connection);
}

bool ma_connection_wants_output(const struct ma_connection *connection)
{
	return connection->out_sent < connection->out_bytes;
}

bool ma_connection_wants_input(const struct ma_connection *connection)
{
	return !ma_connection_wants_output(connection) && !connection->snapshot_waits &&
	       !connection->snapshot_packs;
}

static int refuse(struct ma_error *error, const char *answer)
{
	int code = ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading a client's request");
	ma_error_answer(error, "%s", answer);
	return code;
}

/* Keeps the descriptors that came with a message. */
static int take_fds(struct ma_connection *connection, struct msghdr *message,
		    struct ma_error *error)
{
	bool fits = !(message->msg_flags & MSG_CTRUNC);
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part;
	     part = CMSG_NXTHDR(message, part)) {
		if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
			if (connection->fd_count < MA_CHANNEL_MAX_FDS) {
				connection->fds[connection->fd_count++] = fd;
			} else {
				close(fd);
				fits = false;
			}
		}
	}
	return fits ? 0 : refuse(error, "too many descriptors came with it");
}

/* Receives up to room bytes. Bytes, 0 when there is nothing now, or negative. */
static ssize_t receive(struct ma_connection *connection, void *to, size_t room,
		       struct ma_error *error)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(MA_CHANNEL_MAX_FDS * sizeof(int))];
	} control;
	struct iovec part = {.iov_base = to, .iov_len = room};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control.room,
				 .msg_controllen = sizeof control.room};
	ssize_t got = recvmsg(connection->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	if (got < 0)
		return ma_error_set(error, MA_ERR_NO_PROCESS, errno, "reading from a client");
	int code = take_fds(connection, &message, error);
	if (code < 0)
		return code;
	if (got == 0)
		return ma_error_set(error, MA_ERR_NO_PROCESS, 0, "reading from a client");
	return got;
}

static int begin_payload(struct ma_connection *connection, struct ma_error *error)
{
	uint32_t crc;
	int code = ma_channel_parse_header(connection->header, MA_CHANNEL_MAX_REQUEST_BYTES,
					   &connection->payload_bytes, &crc, error);
	if (code < 0)
		return code;
	connection->payload = malloc(connection->payload_bytes + 1U);
	if (!connection->payload)
		return ma_error_set(error, MA_ERR_PROTOCOL, ENOMEM, "reading a client's request");
	return 0;
}

static int check_payload(const struct ma_connection *connection, struct ma_error *error)
{
	uint8_t header[MA_CHANNEL_HEADER_BYTES];
	ma_channel_make_header(header, connection->payload, connection->payload_bytes);
	if (memcmp(header, connection->header, sizeof header) != 0)
		return refuse(error, "its checksum does not match");
	return 0;
}

int ma_connection_read(struct ma_connection *connection, uint64_t now_ms, struct ma_error *error)
{
	for (;;) {
		ssize_t got;
		if (connection->header_got < sizeof connection->header) {
			got = receive(connection, connection->header + connection->header_got,
				      sizeof connection->header - connection->header_got, error);
			connection->header_got += got > 0 ? (size_t)got : 0;
		} else {
			got = receive(connection, connection->payload + connection->payload_got,
				      connection->payload_bytes - connection->payload_got, error);
			connection->payload_got += got > 0 ? (uint32_t)got : 0;
		}
		if (got < 0)
			return (int)got;
		if (got == 0)
			return 0;
		if (connection->stalled_since_ms == 0)
			connection->stalled_since_ms = now_ms;
		if (connection->header_got < sizeof connection->header)
			continue;
		if (!connection->payload) {
			int code = begin_payload(connection, error);
			if (code < 0)
				return code;
		}
		if (connection->payload_got == connection->payload_bytes) {
			int code = check_payload(connection, error);
			connection->stalled_since_ms = 0;
			return code < 0 ? code : 1;
		}
	}
}

uint8_t *ma_connection_reply_room(struct ma_connection *connection, size_t bytes)
{
	free(connection->out);
	connection->out_bytes = 0;
	connection->out_sent = 0;
	connection->out = NULL;
	if (bytes <= MA_CHANNEL_MAX_REPLY_BYTES)
		connection->out = malloc(MA_CHANNEL_HEADER_BYTES + bytes);
	connection->broken = !connection->out;
	if (connection->broken)
		return NULL;
	connection->out_bytes = MA_CHANNEL_HEADER_BYTES + bytes;
	return connection->out + MA_CHANNEL_HEADER_BYTES;
}

void ma_connection_reply_packed(struct ma_connection *connection)
{
	ma_channel_make_header(connection->out, connection->out + MA_CHANNEL_HEADER_BYTES,
			       (uint32_t)(connection->out_bytes - MA_CHANNEL_HEADER_BYTES));
}

int ma_connection_write(struct ma_connection *connection, uint64_t now_ms)
{
	while (ma_connection_wants_output(connection)) {
		ssize_t sent = send(connection->fd, connection->out + connection->out_sent,
				    connection->out_bytes - connection->out_sent,
				    MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (connection->stalled_since_ms == 0)
				connection->stalled_since_ms = now_ms;
			return 0;
		}
		if (sent < 0)
			return MA_ERR_NO_PROCESS;
		connection->out_sent += (size_t)sent;
		connection->stalled_since_ms = 0;
	}
	free(connection->out);
	connection->out = NULL;
	connection->out_bytes = 0;
	connection->out_sent = 0;
	return 0;
}

bool ma_connection_is_stalled(const struct ma_connection *connection, uint64_t now_ms)
{
	return connection->stalled_since_ms &&
	       now_ms - connection->stalled_since_ms > MA_CONNECTION_STALL_MS;
}
