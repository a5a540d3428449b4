/* SPDX-License-Identifier: MIT */
/*
 * What comes in over the daemon's socket: the bytes are a connection's, frame after frame; besides,
 * what follows the first header is parsed as a request and as a reply, whatever its checksum.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "proto/channel.h"
#include "proto/control.pb-c.h"

enum { MOST = 32 << 10 }; /* fits a socket's buffer, so that writing it never blocks */

static void parse(const uint8_t *payload, size_t bytes)
{
	Memattach__Request *request = memattach__request__unpack(NULL, bytes, payload);
	if (request)
		memattach__request__free_unpacked(request, NULL);
	Memattach__Reply *reply = memattach__reply__unpack(NULL, bytes, payload);
	if (reply)
		memattach__reply__free_unpacked(reply, NULL);
}

static void receive_all(const uint8_t *data, size_t size)
{
	int pair[2], fds[MA_CHANNEL_MAX_FDS], fd_count;
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	MUST(write(pair[0], data, size) == (ssize_t)size);
	close(pair[0]);
	uint8_t *payload;
	size_t bytes;
	struct ma_error error;
	while (ma_channel_receive(pair[1], MOST, &payload, &bytes, fds, &fd_count, 0, &error) ==
	       0) {
		MUST(bytes + MA_CHANNEL_HEADER_BYTES <= size && fd_count == 0);
		parse(payload, bytes);
		free(payload);
	}
	MUST(payload == NULL && bytes == 0 && error.code != MA_OK && error.what[0]);
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t length = 0, crc;
	if (size > MOST)
		return 0;
	if (size >= MA_CHANNEL_HEADER_BYTES) {
		if (ma_channel_parse_header(data, 1000, &length, &crc, NULL) == 0)
			MUST(length <= 1000);
		parse(data + MA_CHANNEL_HEADER_BYTES, size - MA_CHANNEL_HEADER_BYTES);
	}
	receive_all(data, size);
	return 0;
}
