/* SPDX-License-Identifier: MIT */
/*
 * Frames on the daemon's socket: header, payload, file descriptors. A connection on which sending
 * or receiving has failed is out of step and must be closed.
 */
#include "proto/channel.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

static const uint8_t magic[4] = {'M', 'A', 'T', '1'};

static void put_u32(uint8_t *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *from)
{
	uint32_t value = 0;
	for (int i = 0; i < 4; i++)
		value |= (uint32_t)from[i] << (8 * i);
	return value;
}

static uint32_t payload_crc(const void *payload, uint32_t length)
{
	return (uint32_t)crc32_z(crc32_z(0, NULL, 0), payload, length);
}

int ma_channel_parse_header(const uint8_t header[MA_CHANNEL_HEADER_BYTES], uint32_t max_bytes,
			    uint32_t *length, uint32_t *crc, struct ma_error *error)
{
	if (memcmp(header, magic, sizeof magic) != 0) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading a message's header");
		ma_error_answer(error, "it does not start with MAT1");
		return MA_ERR_PROTOCOL;
	}
	uint32_t stated = get_u32(header + 4);
	if (stated > max_bytes) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading a message's header");
		ma_error_answer(error, "it states %u bytes; at most %u are allowed",
				(unsigned)stated, (unsigned)max_bytes);
		return MA_ERR_PROTOCOL;
	}
	*length = stated;
	*crc = get_u32(header + 8);
	return 0;
}

void ma_channel_make_header(uint8_t header[MA_CHANNEL_HEADER_BYTES], const void *payload,
			    uint32_t length)
{
	memcpy(header, magic, sizeof magic);
	put_u32(header + 4, length);
	put_u32(header + 8, payload_crc(payload, length));
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The moment that a timeout ends; negative timeouts never do. */
static int64_t deadline_after(int timeout_ms)
{
	return timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
}

/* Waits for events on fd. 0, or MA_ERR_FAILED when the deadline passes. */
static int wait_for(int fd, short events, int64_t deadline, const char *what,
		    struct ma_error *error)
{
	for (;;) {
		int left_ms = -1;
		if (deadline != INT64_MAX) {
			int64_t left = deadline - now_ms();
			left_ms = left < 0 ? 0 : (int)left;
		}
		struct pollfd poller = {.fd = fd, .events = events};
		int ready = poll(&poller, 1, left_ms);
		if (ready > 0)
			return 0;
		if (ready == 0)
			return ma_error_set(error, MA_ERR_FAILED, ETIMEDOUT, "%s", what);
		if (errno != EINTR)
			return ma_error_set(error, MA_ERR_FAILED, errno, "%s", what);
	}
}

static bool is_gone(int sys_errno)
{
	return sys_errno == EPIPE || sys_errno == ECONNRESET || sys_errno == ENOTCONN;
}

static int failed(int sys_errno, const char *what, struct ma_error *error)
{
	if (!is_gone(sys_errno))
		return ma_error_set(error, MA_ERR_FAILED, sys_errno, "%s", what);
	ma_error_set(error, MA_ERR_NO_PROCESS, sys_errno, "%s", what);
	ma_error_answer(error, "the other end has closed the connection");
	return MA_ERR_NO_PROCESS;
}

/* Room for the descriptors of one message, aligned as the kernel wants it. */
union fd_control {
	struct cmsghdr align;
	char room[CMSG_SPACE(MA_CHANNEL_MAX_FDS * sizeof(int))];
};

static void attach_fds(struct msghdr *message, union fd_control *control, const int *fds,
		       int fd_count)
{
	size_t bytes = (size_t)fd_count * sizeof(int);
	memset(control, 0, sizeof *control);
	message->msg_control = control->room;
	message->msg_controllen = CMSG_SPACE(bytes);
	struct cmsghdr *head = CMSG_FIRSTHDR(message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(bytes);
	memcpy(CMSG_DATA(head), fds, bytes);
}

int ma_channel_send(int fd, const void *payload, size_t bytes, const int *fds, int fd_count,
		    int timeout_ms, struct ma_error *error)
{
	static const char what[] = "sending a message";
	if (bytes > MA_CHANNEL_MAX_REPLY_BYTES || fd_count < 0 || fd_count > MA_CHANNEL_MAX_FDS) {
		ma_error_set(error, MA_ERR_PROTOCOL, 0, "%s", what);
		ma_error_answer(error, "%zu bytes and %d descriptors are more than one may have",
				bytes, fd_count);
		return MA_ERR_PROTOCOL;
	}
	uint8_t header[MA_CHANNEL_HEADER_BYTES];
	ma_channel_make_header(header, payload, (uint32_t)bytes);
	int64_t deadline = deadline_after(timeout_ms);
	size_t done = 0;
	while (done < sizeof header + bytes) {
		struct iovec parts[2];
		int count = 0;
		if (done < sizeof header)
			parts[count++] = (struct iovec){header + done, sizeof header - done};
		size_t sent = done < sizeof header ? 0 : done - sizeof header;
		if (sent < bytes)
			parts[count++] =
				(struct iovec){(uint8_t *)(uintptr_t)payload + sent, bytes - sent};
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
		union fd_control control;
		if (done == 0 && fd_count)
			attach_fds(&message, &control, fds, fd_count);
		ssize_t wrote = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (wrote >= 0) {
			done += (size_t)wrote;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return failed(errno, what, error);
		int code = wait_for(fd, POLLOUT, deadline, what, error);
		if (code)
			return code;
	}
	return 0;
}

static void close_fds(int *fds, int *fd_count)
{
	for (int i = 0; i < *fd_count; i++)
		close(fds[i]);
	*fd_count = 0;
}

/* Collects the descriptors of a received message; false when there are too many. */
static bool collect_fds(struct msghdr *message, int fds[MA_CHANNEL_MAX_FDS], int *fd_count)
{
	bool fits = !(message->msg_flags & MSG_CTRUNC);
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head;
	     head = CMSG_NXTHDR(message, head)) {
		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int received;
			memcpy(&received, CMSG_DATA(head) + i * sizeof(int), sizeof received);
			if (*fd_count < MA_CHANNEL_MAX_FDS) {
				fds[(*fd_count)++] = received;
			} else {
				close(received);
				fits = false;
			}
		}
	}
	return fits;
}

/*
 * Receives exactly `bytes` bytes. With fds, descriptors that come along are collected there;
 * without them the kernel closes such descriptors itself.
 */
static int receive_exactly(int fd, uint8_t *to, size_t bytes, int *fds, int *fd_count,
			   int64_t deadline, struct ma_error *error)
{
	static const char what[] = "receiving a message";
	size_t done = 0;
	while (done < bytes) {
		int code = wait_for(fd, POLLIN, deadline, what, error);
		if (code)
			return code;
		struct iovec part = {to + done, bytes - done};
		union fd_control control;
		struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
		if (fds) {
			memset(&control, 0, sizeof control);
			message.msg_control = control.room;
			message.msg_controllen = sizeof control.room;
		}
		ssize_t got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (got < 0) {
			if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK)
				continue;
			return failed(errno, what, error);
		}
		if (fds && !collect_fds(&message, fds, fd_count)) {
			ma_error_set(error, MA_ERR_PROTOCOL, 0, "%s", what);
			ma_error_answer(error, "more than %d file descriptors came with it",
					MA_CHANNEL_MAX_FDS);
			return MA_ERR_PROTOCOL;
		}
		if (got == 0)
			return failed(EPIPE, what, error);
		done += (size_t)got;
	}
	return 0;
}

static int receive_payload(int fd, uint32_t length, uint32_t crc, uint8_t **payload,
			   int64_t deadline, struct ma_error *error)
{
	uint8_t *buffer = malloc(length ? length : 1);
	if (!buffer)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "receiving a message of %u bytes",
				    (unsigned)length);
	int code = receive_exactly(fd, buffer, length, NULL, NULL, deadline, error);
	if (code == 0 && payload_crc(buffer, length) != crc) {
		code = ma_error_set(error, MA_ERR_PROTOCOL, 0, "receiving a message");
		ma_error_answer(error, "its checksum does not fit its %u bytes", (unsigned)length);
	}
	if (code) {
		free(buffer);
		return code;
	}
	*payload = buffer;
	return 0;
}

int ma_channel_receive(int fd, uint32_t max_bytes, uint8_t **payload, size_t *bytes,
		       int fds[MA_CHANNEL_MAX_FDS], int *fd_count, int timeout_ms,
		       struct ma_error *error)
{
	*payload = NULL;
	*bytes = 0;
	*fd_count = 0;
	int64_t deadline = deadline_after(timeout_ms);
	uint8_t header[MA_CHANNEL_HEADER_BYTES];
	uint32_t length = 0, crc = 0;
	int code = receive_exactly(fd, header, sizeof header, fds, fd_count, deadline, error);
	if (code == 0)
		code = ma_channel_parse_header(header, max_bytes, &length, &crc, error);
	if (code == 0)
		code = receive_payload(fd, length, crc, payload, deadline, error);
	if (code) {
		close_fds(fds, fd_count);
		return code;
	}
	*bytes = length;
	return 0;
}
