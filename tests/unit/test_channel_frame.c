/* SPDX-License-Identifier: MIT */
/* Frames: their golden bytes, whole and broken ones, and the descriptors that travel with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/channel.h"

static int pair[2];

static int set_up(void **state)
{
	(void)state;
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
	return 0;
}

static void close_end(int end)
{
	close(pair[end]);
	pair[end] = -1;
}

/* "MAT1", 3 bytes, CRC-32 of "abc" (352441c2), "abc". */
static const uint8_t golden[] = {'M',  'A',  'T',  '1',  3,   0,   0,  0,
				 0xc2, 0x41, 0x24, 0x35, 'a', 'b', 'c'};

static int count_fds(void)
{
	int count = 0;
	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* Receives what is in the socket; expects a failure that leaves nothing behind. */
static void expect_failure(uint32_t max_bytes, int timeout_ms, int expected)
{
	uint8_t *payload = (uint8_t *)1;
	size_t bytes = 1;
	int fds[MA_CHANNEL_MAX_FDS], fd_count = 1;
	struct ma_error error = {0};
	int before = count_fds();
	int code = ma_channel_receive(pair[1], max_bytes, &payload, &bytes, fds, &fd_count,
				      timeout_ms, &error);
	assert_int_equal(code, expected);
	assert_int_equal(error.code, expected);
	assert_true(error.what[0] && error.answer[0]);
	assert_null(payload);
	assert_int_equal(bytes, 0);
	assert_int_equal(fd_count, 0);
	assert_int_equal(count_fds(), before);
}

static void test_golden_bytes(void **state)
{
	(void)state;
	uint8_t received[sizeof golden + 1];
	assert_int_equal(ma_channel_send(pair[0], "abc", 3, NULL, 0, 1000, NULL), 0);
	assert_int_equal(recv(pair[1], received, sizeof received, MSG_DONTWAIT), sizeof golden);
	assert_memory_equal(received, golden, sizeof golden);
}

static void test_whole_frames(void **state)
{
	(void)state;
	uint8_t *payload;
	size_t bytes;
	int fds[MA_CHANNEL_MAX_FDS], fd_count;
	assert_int_equal(write(pair[0], golden, sizeof golden), sizeof golden);
	assert_int_equal(ma_channel_send(pair[0], NULL, 0, NULL, 0, 1000, NULL), 0);
	assert_int_equal(
		ma_channel_receive(pair[1], 3, &payload, &bytes, fds, &fd_count, 1000, NULL), 0);
	assert_int_equal(bytes, 3);
	assert_memory_equal(payload, "abc", 3);
	assert_int_equal(fd_count, 0);
	free(payload);
	assert_int_equal(
		ma_channel_receive(pair[1], 3, &payload, &bytes, fds, &fd_count, 1000, NULL), 0);
	assert_int_equal(bytes, 0);
	assert_non_null(payload);
	free(payload);
}

static void test_bytes_one_by_one(void **state)
{
	(void)state;
	uint32_t length, crc;
	for (size_t cut = 0; cut < sizeof golden; cut++) {
		assert_int_equal(tear_down(NULL), 0);
		assert_int_equal(set_up(NULL), 0);
		assert_int_equal(write(pair[0], golden, cut), cut);
		close_end(0);
		expect_failure(100, 1000, MA_ERR_NO_PROCESS);
	}
	assert_int_equal(ma_channel_parse_header(golden, 3, &length, &crc, NULL), 0);
	assert_int_equal(length, 3);
	assert_int_equal(crc, 0x352441c2);
}

static void test_broken_frames(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof golden; i++) {
		uint8_t broken[sizeof golden];
		memcpy(broken, golden, sizeof golden);
		broken[i] ^= 0x80;
		assert_int_equal(tear_down(NULL), 0);
		assert_int_equal(set_up(NULL), 0);
		assert_int_equal(write(pair[0], broken, sizeof broken), sizeof broken);
		/* Bytes 4 to 7 are the length: 131 and more bytes are more than allowed. */
		expect_failure(100, 1000, MA_ERR_PROTOCOL);
	}
}

static void test_oversized(void **state)
{
	(void)state;
	assert_int_equal(write(pair[0], golden, sizeof golden), sizeof golden);
	expect_failure(2, 1000, MA_ERR_PROTOCOL);
	int fds[MA_CHANNEL_MAX_FDS + 1] = {0};
	struct ma_error error;
	assert_int_equal(ma_channel_send(pair[0], "", 0, fds, MA_CHANNEL_MAX_FDS + 1, 0, &error),
			 MA_ERR_PROTOCOL);
	assert_int_equal(ma_channel_send(pair[0], "", (size_t)MA_CHANNEL_MAX_REPLY_BYTES + 1, NULL,
					 0, 0, &error),
			 MA_ERR_PROTOCOL);
}

static void test_timeouts(void **state)
{
	(void)state;
	expect_failure(100, 0, MA_ERR_FAILED);
	assert_int_equal(write(pair[0], golden, 5), 5);
	expect_failure(100, 20, MA_ERR_FAILED);
	size_t bytes = 8 << 20;
	uint8_t *payload = calloc(1, bytes);
	struct ma_error error;
	assert_int_equal(ma_channel_send(pair[0], payload, bytes, NULL, 0, 20, &error),
			 MA_ERR_FAILED);
	assert_int_equal(error.sys_errno, ETIMEDOUT);
	free(payload);
}

/* Without MSG_NOSIGNAL this would end the test by SIGPIPE. */
static void test_peer_gone(void **state)
{
	(void)state;
	struct ma_error error;
	close_end(1);
	assert_int_equal(ma_channel_send(pair[0], "abc", 3, NULL, 0, 1000, &error),
			 MA_ERR_NO_PROCESS);
	assert_true(error.answer[0]);
}

static ino_t inode_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void test_descriptors(void **state)
{
	(void)state;
	uint8_t *payload;
	size_t bytes;
	int sent[MA_CHANNEL_MAX_FDS], got[MA_CHANNEL_MAX_FDS], count;
	for (int i = 0; i < MA_CHANNEL_MAX_FDS; i += 2)
		assert_int_equal(pipe(&sent[i]), 0);
	assert_int_equal(ma_channel_send(pair[0], "abc", 3, sent, MA_CHANNEL_MAX_FDS, 1000, NULL),
			 0);
	assert_int_equal(ma_channel_send(pair[0], "d", 1, sent, 1, 1000, NULL), 0);
	assert_int_equal(ma_channel_receive(pair[1], 9, &payload, &bytes, got, &count, 1000, NULL),
			 0);
	assert_int_equal(count, MA_CHANNEL_MAX_FDS);
	free(payload);
	for (int i = 0; i < count; i++) {
		assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(inode_of(got[i]), inode_of(sent[i]));
		close(got[i]);
	}
	/* The second frame's descriptor is not taken with the first frame. */
	assert_int_equal(ma_channel_receive(pair[1], 9, &payload, &bytes, got, &count, 1000, NULL),
			 0);
	assert_int_equal(count, 1);
	assert_int_equal(inode_of(got[0]), inode_of(sent[0]));
	close(got[0]);
	free(payload);
	for (int i = 0; i < MA_CHANNEL_MAX_FDS; i++)
		close(sent[i]);
}

/* Sends bytes with that many descriptors by hand, as a peer that keeps no rule would. */
static void send_raw(const void *data, size_t bytes, int fd_count)
{
	enum { MOST = 32 };
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(MOST * sizeof(int))] = {0};
	struct iovec part = {(void *)(uintptr_t)data, bytes};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int))};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
	for (int i = 0; i < fd_count; i++)
		memcpy(CMSG_DATA(head) + (size_t)i * sizeof(int), &pair[0], sizeof(int));
	assert_int_equal(sendmsg(pair[0], &message, 0), bytes);
}

static void test_too_many_descriptors(void **state)
{
	(void)state;
	send_raw(golden, sizeof golden, 32);
	expect_failure(100, 1000, MA_ERR_PROTOCOL);
}

/* One with every byte of the header: five in all are one too many. */
static void test_too_many_descriptors_in_portions(void **state)
{
	(void)state;
	for (size_t i = 0; i < MA_CHANNEL_HEADER_BYTES; i++)
		send_raw(golden + i, 1, 1);
	expect_failure(100, 1000, MA_ERR_PROTOCOL);
}

static void test_descriptors_of_a_broken_frame_are_closed(void **state)
{
	(void)state;
	send_raw("MATX", 4, 2);
	send_raw("01234567", 8, 2);
	expect_failure(100, 1000, MA_ERR_PROTOCOL);
}

static void test_descriptors_with_the_payload_are_closed(void **state)
{
	(void)state;
	uint8_t *payload;
	size_t bytes;
	int got[MA_CHANNEL_MAX_FDS], count, before = count_fds();
	assert_int_equal(write(pair[0], golden, 13), 13);
	send_raw(golden + 13, 2, 3);
	assert_int_equal(ma_channel_receive(pair[1], 9, &payload, &bytes, got, &count, 1000, NULL),
			 0);
	assert_int_equal(count, 0);
	assert_int_equal(count_fds(), before);
	free(payload);
}

struct transfer {
	uint8_t *payload;
	size_t bytes;
	int code;
};

static void *send_in_thread(void *argument)
{
	struct transfer *transfer = argument;
	transfer->code = ma_channel_send(pair[0], transfer->payload, transfer->bytes, &pair[0], 1,
					 30000, NULL);
	return NULL;
}

static void test_large_frame(void **state)
{
	(void)state;
	struct transfer transfer = {.bytes = 20 << 20};
	uint8_t *payload;
	size_t bytes;
	int got[MA_CHANNEL_MAX_FDS], count;
	pthread_t thread;
	transfer.payload = malloc(transfer.bytes);
	for (size_t i = 0; i < transfer.bytes; i++)
		transfer.payload[i] = (uint8_t)(i * i >> 7);
	assert_int_equal(pthread_create(&thread, NULL, send_in_thread, &transfer), 0);
	int code =
		ma_channel_receive(pair[1], 32 << 20, &payload, &bytes, got, &count, 30000, NULL);
	pthread_join(thread, NULL);
	assert_int_equal(code, 0);
	assert_int_equal(transfer.code, 0);
	assert_int_equal(bytes, transfer.bytes);
	assert_memory_equal(payload, transfer.payload, bytes);
	assert_int_equal(count, 1);
	close(got[0]);
	free(payload);
	free(transfer.payload);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_golden_bytes),
		TEST(test_whole_frames),
		TEST(test_bytes_one_by_one),
		TEST(test_broken_frames),
		TEST(test_oversized),
		TEST(test_timeouts),
		TEST(test_peer_gone),
		TEST(test_descriptors),
		TEST(test_too_many_descriptors),
		TEST(test_too_many_descriptors_in_portions),
		TEST(test_descriptors_of_a_broken_frame_are_closed),
		TEST(test_descriptors_with_the_payload_are_closed),
		TEST(test_large_frame),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
