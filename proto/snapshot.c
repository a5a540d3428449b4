/* SPDX-License-Identifier: MIT */
/*
 * Writing of snapshot.bin, and what writer and reader share. The tables are written in the order in
 * which they refer to each other (strings, mappings, functions, locations, samples, field 1000), so
 * that a file that was cut short still names everything that it holds; protobuf readers accept any
 * order. The gzip header carries the uncompressed size, for the reader to say how much is missing.
 */
#include "proto/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "proto/snapshot_gzip.h"

enum {
	GZIP_WINDOW = 15 + 16, /* the largest window, and a gzip header */
	GZIP_LEVEL = 4,        /* half the time of 6, and 3 % more bytes */
	GZIP_MEMORY = 8,
	GZIP_UNIX = 3, /* "operating system" of RFC 1952 */
	PARTS = 7,
};

static uint32_t crc_u64(uint32_t crc, uint64_t value)
{
	uint8_t bytes[8];
	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
	return (uint32_t)crc32_z(crc, bytes, sizeof bytes);
}

uint32_t ma_snapshot_crc(const Memattach__Profile *profile)
{
	uint32_t crc = 0;
	for (size_t i = 0; i < profile->n_sample; i++) {
		const Memattach__Sample *sample = profile->sample[i];
		for (size_t j = 0; j < sample->n_location_id; j++)
			crc = crc_u64(crc, sample->location_id[j]);
		for (size_t j = 0; j < sample->n_value; j++)
			crc = crc_u64(crc, (uint64_t)sample->value[j]);
	}
	return crc;
}

const char *ma_snapshot_string(const Memattach__Profile *profile, int64_t index)
{
	if (index < 0 || (uint64_t)index >= profile->n_string_table)
		return "";
	const char *text = profile->string_table[index];
	return text ? text : "";
}

void ma_snapshot_gzip_extra(uint8_t extra[MA_SNAPSHOT_EXTRA_BYTES], uint64_t raw_bytes)
{
	extra[0] = 'M';
	extra[1] = 'A';
	extra[2] = MA_SNAPSHOT_EXTRA_BYTES - 4;
	extra[3] = 0;
	for (int i = 0; i < 8; i++)
		extra[4 + i] = (uint8_t)(raw_bytes >> (8 * i));
}

/*
 * Shallow copies of the profile with one table each. Encoded one after the other they are the
 * encoding of the whole: protobuf joins repeated fields.
 */
static void split(const Memattach__Profile *profile, Memattach__Profile parts[PARTS])
{
	Memattach__Profile *scalars = &parts[0];
	*scalars = *profile;
	scalars->n_sample = scalars->n_mapping = scalars->n_location = scalars->n_function = 0;
	scalars->n_string_table = 0;
	scalars->heap = NULL;
	for (int i = 1; i < PARTS; i++)
		memattach__profile__init(&parts[i]);
	parts[1].n_string_table = profile->n_string_table;
	parts[1].string_table = profile->string_table;
	parts[2].n_mapping = profile->n_mapping;
	parts[2].mapping = profile->mapping;
	parts[3].n_function = profile->n_function;
	parts[3].function = profile->function;
	parts[4].n_location = profile->n_location;
	parts[4].location = profile->location;
	parts[5].n_sample = profile->n_sample;
	parts[5].sample = profile->sample;
	parts[6].heap = profile->heap;
}

/* The uncompressed bytes, returned-owned. */
static int encode(const Memattach__Profile *profile, uint8_t **raw, size_t *raw_bytes,
		  struct ma_error *error)
{
	Memattach__Profile parts[PARTS];
	split(profile, parts);
	size_t total = 0;
	for (int i = 0; i < PARTS; i++)
		total += memattach__profile__get_packed_size(&parts[i]);
	if (total > MA_SNAPSHOT_MAX_BYTES) {
		int code = ma_error_set(error, MA_ERR_FAILED, 0, "packing a snapshot");
		ma_error_answer(error, "it would have %zu bytes", total);
		ma_error_remedy(error, "Ask for fewer sites.");
		return code;
	}
	uint8_t *buffer = malloc(total ? total : 1);
	if (!buffer)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "packing a snapshot of %zu bytes",
				    total);
	size_t used = 0;
	for (int i = 0; i < PARTS; i++)
		used += memattach__profile__pack(&parts[i], buffer + used);
	*raw = buffer;
	*raw_bytes = used;
	return 0;
}

/* zlib counts what is left in 32 bits: hand it over in pieces. */
static uInt piece(size_t left)
{
	const size_t most = (size_t)1 << 30;
	return (uInt)(left < most ? left : most);
}

static int deflate_all(z_stream *stream, const uint8_t *raw, size_t raw_bytes, uint8_t *out,
		       size_t room)
{
	size_t in_left = raw_bytes, out_left = room;
	stream->next_in = (Bytef *)(uintptr_t)raw;
	stream->next_out = out;
	int result;
	do {
		stream->avail_in = piece(in_left);
		stream->avail_out = piece(out_left);
		uInt in_given = stream->avail_in, out_given = stream->avail_out;
		result = deflate(stream, in_given == in_left ? Z_FINISH : Z_NO_FLUSH);
		in_left -= in_given - stream->avail_in;
		out_left -= out_given - stream->avail_out;
	} while (result == Z_OK);
	return result;
}

static int compress_raw(const uint8_t *raw, size_t raw_bytes, uint8_t **bytes, size_t *size,
			struct ma_error *error)
{
	z_stream stream = {0};
	if (deflateInit2(&stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "compressing a snapshot");
	uint8_t extra[MA_SNAPSHOT_EXTRA_BYTES];
	ma_snapshot_gzip_extra(extra, raw_bytes);
	gz_header header = {.os = GZIP_UNIX, .extra = extra, .extra_len = sizeof extra};
	deflateSetHeader(&stream, &header);
	size_t room = deflateBound(&stream, raw_bytes);
	uint8_t *out = malloc(room);
	int result = out ? deflate_all(&stream, raw, raw_bytes, out, room) : Z_MEM_ERROR;
	size_t used = stream.total_out;
	deflateEnd(&stream);
	if (result != Z_STREAM_END) {
		free(out);
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "compressing a snapshot");
	}
	uint8_t *fitted = realloc(out, used);
	*bytes = fitted ? fitted : out;
	*size = used;
	return 0;
}

int ma_snapshot_pack(Memattach__Profile *profile, uint8_t **bytes, size_t *size,
		     struct ma_error *error)
{
	if (profile->heap) {
		profile->heap->sample_count = profile->n_sample;
		profile->heap->sample_crc32 = ma_snapshot_crc(profile);
	}
	uint8_t *raw;
	size_t raw_bytes;
	int code = encode(profile, &raw, &raw_bytes, error);
	if (code)
		return code;
	code = compress_raw(raw, raw_bytes, bytes, size, error);
	free(raw);
	return code;
}
