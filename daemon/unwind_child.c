/* SPDX-License-Identifier: MIT */
/*
 * See unwind_child.h. The source goes over in a memfd; back come a head, and the table in packets
 * of at most MA_CONFINED_PACKET_BYTES.
 */
#include "daemon/unwind_child.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/confine.h"
#include "daemon/unwind_compile.h"
#include "daemon/unwind_table.h"

enum { LOOK_MS = 200 }; /* between two looks whether to stop */

const struct ma_unwind_limits ma_unwind_limits = {.memory_bytes = 768 << 20, .time_ms = 60000};

/* What comes back first. */
struct answer {
	int32_t code;    /* of the compiler */
	uint32_t bytes;  /* of the table that follows */
	char answer[96]; /* of the compiler's error */
};

static bool write_all(int fd, const void *bytes, uint64_t count)
{
	const uint8_t *at = bytes;
	while (count) {
		ssize_t done = write(fd, at, count);
		if (done <= 0)
			return false;
		at += done;
		count -= (uint64_t)done;
	}
	return true;
}

static bool read_all(int fd, void *bytes, uint64_t count)
{
	uint8_t *at = bytes;
	while (count) {
		ssize_t got = read(fd, at, count);
		if (got <= 0)
			return false;
		at += got;
		count -= (uint64_t)got;
	}
	return true;
}

/* The source, its two sections behind it. */
static int write_source(const struct ma_unwind_source *source)
{
	int fd = memfd_create("memattach-frames", MFD_CLOEXEC);
	if (fd < 0)
		return -1;
	if (write_all(fd, source, sizeof *source) &&
	    write_all(fd, source->eh_frame.bytes, source->eh_frame.size) &&
	    write_all(fd, source->debug_frame.bytes, source->debug_frame.size) &&
	    lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool read_section(int fd, struct ma_unwind_section *section)
{
	bool present = section->bytes != NULL;
	section->bytes = present ? malloc(section->size) : NULL;
	return !present || (section->bytes && read_all(fd, section->bytes, section->size));
}

static void send_table(int socket, const uint8_t *table, size_t bytes)
{
	while (bytes) {
		size_t part = bytes < MA_CONFINED_PACKET_BYTES ? bytes : MA_CONFINED_PACKET_BYTES;
		if (ma_confined_send(socket, table, part, -1, 0) < 0)
			return;
		table += part;
		bytes -= part;
	}
}

/* The child. What it takes goes with it. */
static void work(int socket)
{
	struct ma_unwind_source source;
	struct answer answer = {.code = MA_ERR_FAILED};
	struct ma_error error = {0};
	void *table = NULL;
	size_t bytes = 0;
	uint8_t byte;
	int fd;
	if (ma_confined_receive(socket, &byte, sizeof byte, &fd, 0) != 1 || fd < 0)
		return;
	if (read_all(fd, &source, sizeof source) && read_section(fd, &source.eh_frame) &&
	    read_section(fd, &source.debug_frame)) {
		answer.code = ma_unwind_compile(&source, &table, &bytes, &error);
		answer.bytes = (uint32_t)bytes;
		memcpy(answer.answer, error.answer, sizeof answer.answer - 1);
	}
	if (ma_confined_send(socket, &answer, sizeof answer, -1, 0) == 0 && answer.code == 0)
		send_table(socket, table, bytes);
}

/* Waits for the next packet, looking now and then whether that is still wanted. */
static ssize_t receive(int socket, void *buffer, size_t room, const bool *stopping,
		       uint64_t deadline_ms)
{
	struct pollfd wait = {.fd = socket, .events = POLLIN};
	while (!__atomic_load_n(stopping, __ATOMIC_RELAXED)) {
		int ready = poll(&wait, 1, LOOK_MS);
		uint64_t now_ms = ma_clock_monotonic_ns() / 1000000;
		if (ready > 0)
			return ma_confined_receive(socket, buffer, room, NULL, now_ms + LOOK_MS);
		if (now_ms >= deadline_ms)
			return -1;
	}
	return -1;
}

static int come_to_grief(struct ma_error *error)
{
	ma_error_set(error, MA_ERR_FAILED, 0, "compiling an unwind table");
	ma_error_answer(error, "the compiler crashed, or took too much time or memory");
	return MA_ERR_FAILED;
}

static int receive_table(int socket, const bool *stopping, uint64_t deadline_ms, uint8_t **table,
			 size_t *bytes, struct ma_error *error)
{
	struct answer answer;
	if (receive(socket, &answer, sizeof answer, stopping, deadline_ms) != sizeof answer)
		return come_to_grief(error);
	if (answer.code < 0) {
		int code = answer.code == MA_ERR_PROTOCOL ? MA_ERR_PROTOCOL : MA_ERR_FAILED;
		answer.answer[sizeof answer.answer - 1] = 0;
		ma_error_set(error, code, 0, "compiling an unwind table");
		ma_error_answer(error, "%s", answer.answer);
		return code;
	}
	*bytes = answer.bytes;
	*table = answer.bytes <= MA_UNWIND_TABLE_BYTES ? malloc(answer.bytes) : NULL;
	if (!*table)
		return come_to_grief(error);
	for (size_t at = 0; at < *bytes;) {
		ssize_t got = receive(socket, *table + at, *bytes - at, stopping, deadline_ms);
		if (got <= 0)
			return come_to_grief(error);
		at += (size_t)got;
	}
	return 0;
}

int ma_unwind_child_compile(const struct ma_unwind_source *source,
			    const struct ma_unwind_limits *limits, const bool *stopping,
			    void **table, size_t *bytes, struct ma_error *error)
{
	uint64_t deadline_ms = ma_clock_monotonic_ns() / 1000000 + limits->time_ms;
	struct ma_unwind_table_view view;
	struct ma_confined child;
	static const uint8_t byte = 0;
	uint8_t *received = NULL;
	*table = NULL;
	int fd = write_source(source);
	if (fd < 0)
		return ma_error_set(error, MA_ERR_FAILED, errno, "compiling an unwind table");
	int code = ma_confined_start(&child, "memattach-cfi", limits->memory_bytes, work, error);
	if (code == 0) {
		code = ma_confined_send(child.socket, &byte, sizeof byte, fd, deadline_ms) < 0
			       ? come_to_grief(error)
			       : receive_table(child.socket, stopping, deadline_ms, &received,
					       bytes, error);
		ma_confined_stop(&child);
	}
	close(fd);
	if (code == 0 && (!ma_unwind_table_open(&view, received, *bytes) ||
			  memcmp(view.head->hash, source->hash, MA_SHA256_BYTES) != 0))
		code = come_to_grief(error);
	if (code == 0)
		*table = received;
	else
		free(received);
	return code;
}
