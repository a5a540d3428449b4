/* SPDX-License-Identifier: MIT */
/* Inflating a snapshot: bounded, and keeping what was there when the file ends early. */
#include "proto/snapshot_gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16 };
#define FIRST_ROOM ((size_t)64 << 10)
#define PIECE      ((size_t)1 << 30) /* zlib counts in 32 bits */

/* A buffer that grows up to max_bytes and one byte, which tells "too large". */
struct output {
	uint8_t *bytes;
	size_t used;
	size_t room;
	size_t max_bytes;
};

static int grow(struct output *output)
{
	size_t most = output->max_bytes + 1;
	size_t room = output->room ? output->room * 2 : FIRST_ROOM;
	if (room > most)
		room = most;
	uint8_t *bytes = realloc(output->bytes, room);
	if (!bytes)
		return MA_ERR_FAILED;
	output->bytes = bytes;
	output->room = room;
	return 0;
}

bool ma_snapshot_is_gzip(const uint8_t *bytes, size_t size)
{
	return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

static int damaged(struct ma_error *error, size_t offset, const char *reason)
{
	ma_error_set(error, MA_ERR_PROTOCOL, 0, "decompressing the snapshot");
	ma_error_answer(error, "byte %zu: %s", offset, reason);
	ma_error_remedy(error, "Take it again, or copy it again in binary mode.");
	return MA_ERR_PROTOCOL;
}

/* Runs inflate until the stream ends, the input does, or the bound is reached. */
static int run(z_stream *stream, const uint8_t *bytes, size_t size, struct output *output)
{
	size_t in_left = size;
	int result = Z_OK;
	stream->next_in = (Bytef *)(uintptr_t)bytes;
	while (result == Z_OK) {
		if (output->used == output->room) {
			if (output->used > output->max_bytes)
				return Z_OK;
			if (grow(output))
				return Z_MEM_ERROR;
		}
		size_t out_left = output->room - output->used;
		stream->avail_in = (uInt)(in_left < PIECE ? in_left : PIECE);
		stream->avail_out = (uInt)(out_left < PIECE ? out_left : PIECE);
		stream->next_out = output->bytes + output->used;
		uInt in_given = stream->avail_in, out_given = stream->avail_out;
		result = inflate(stream, Z_NO_FLUSH);
		in_left -= in_given - stream->avail_in;
		output->used += out_given - stream->avail_out;
	}
	return result;
}

/* The uncompressed size in our subfield of the header; 0 when there is none. */
static uint64_t stated_size(const gz_header *header, const uint8_t *extra)
{
	uint8_t expected[MA_SNAPSHOT_EXTRA_BYTES];
	uint64_t stated = 0;
	if (header->done != 1 || header->extra_len != MA_SNAPSHOT_EXTRA_BYTES)
		return 0;
	for (int i = 7; i >= 0; i--)
		stated = stated << 8 | extra[4 + i];
	ma_snapshot_gzip_extra(expected, stated);
	return memcmp(expected, extra, sizeof expected) == 0 ? stated : 0;
}

int ma_snapshot_inflate(const uint8_t *bytes, size_t size, uint64_t max_bytes, uint8_t **raw,
			size_t *raw_bytes, bool *complete, uint64_t *stated_bytes,
			struct ma_error *error)
{
	z_stream stream = {0};
	uint8_t extra[MA_SNAPSHOT_EXTRA_BYTES] = {0};
	gz_header header = {.extra = extra, .extra_max = sizeof extra};
	if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "decompressing the snapshot");
	inflateGetHeader(&stream, &header);
	struct output output = {.max_bytes = (size_t)max_bytes};
	int result = run(&stream, bytes, size, &output);
	size_t consumed = stream.total_in;
	int code = 0;
	if (result == Z_MEM_ERROR)
		code = ma_error_set(error, MA_ERR_FAILED, ENOMEM, "decompressing the snapshot");
	else if (output.used > max_bytes)
		code = damaged(error, consumed, "it grows beyond what a snapshot may have");
	else if (result == Z_STREAM_END && consumed < size)
		code = damaged(error, consumed, "something follows the end of the compressed data");
	else if (result != Z_STREAM_END && result != Z_BUF_ERROR)
		code = damaged(error, consumed, stream.msg ? stream.msg : "not gzip data");
	inflateEnd(&stream);
	if (code) {
		free(output.bytes);
		return code;
	}
	*raw = output.bytes;
	*raw_bytes = output.used;
	*complete = result == Z_STREAM_END;
	*stated_bytes = stated_size(&header, extra);
	return 0;
}
