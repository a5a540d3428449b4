/* SPDX-License-Identifier: MIT */
/*
 * Reading of snapshot.bin. The top level of the protobuf message is walked by hand first, field by
 * field: where the file ends in the middle of one, what lies before it is a whole message and is
 * used; only then is the real parser let loose on it.
 */
#include "proto/snapshot.h"

#include <stdlib.h>

#include "proto/snapshot_check.h"
#include "proto/snapshot_gzip.h"

enum { HEAP_FIELD = 1000 };

enum wire {
	WIRE_VARINT = 0,
	WIRE_FIXED64 = 1,
	WIRE_BYTES = 2,
	WIRE_FIXED32 = 5,
};

/* One field of a message: where it begins, where its content lies, where it ends. */
struct field {
	uint64_t number;
	uint32_t wire;
	size_t begin;
	size_t content;
	size_t end; /* beyond the input when that ends first */
};

enum step { STEP_FIELD, STEP_DONE, STEP_CUT, STEP_BAD };

/* Reads a varint at *at. STEP_FIELD: it is there. */
static enum step read_varint(const uint8_t *raw, size_t size, size_t *at, uint64_t *value)
{
	uint64_t result = 0;
	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (*at == size)
			return STEP_CUT;
		uint8_t byte = raw[(*at)++];
		result |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*value = result;
			return STEP_FIELD;
		}
	}
	return STEP_BAD;
}

/* Takes the field at `at`. With STEP_CUT, field->content is 0 unless the content has begun. */
static enum step next_field(const uint8_t *raw, size_t size, size_t at, struct field *field)
{
	uint64_t tag, length = 0;
	*field = (struct field){.begin = at};
	if (at == size)
		return STEP_DONE;
	enum step step = read_varint(raw, size, &at, &tag);
	if (step != STEP_FIELD)
		return step;
	field->number = tag >> 3;
	field->wire = tag & 7;
	if (field->number == 0 || field->number >= 1u << 29)
		return STEP_BAD;
	switch (field->wire) {
	case WIRE_VARINT:
		step = read_varint(raw, size, &at, &length);
		field->end = at;
		return step;
	case WIRE_FIXED64:
		length = 8;
		break;
	case WIRE_FIXED32:
		length = 4;
		break;
	case WIRE_BYTES:
		step = read_varint(raw, size, &at, &length);
		if (step != STEP_FIELD)
			return step;
		break;
	default:
		return STEP_BAD;
	}
	field->content = at;
	if (length > size - at)
		return STEP_CUT;
	field->end = at + (size_t)length;
	return STEP_FIELD;
}

/* What the walk over a message found. */
struct layout {
	size_t whole_bytes; /* up to here fields are complete */
	bool cut;
	size_t heap_begin; /* content of an incomplete field 1000; 0 = none */
	size_t heaps;
};

static int damaged(struct ma_error *error, size_t offset, const char *reason)
{
	ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the snapshot");
	ma_error_answer(error, "byte %zu of the uncompressed data: %s", offset, reason);
	ma_error_remedy(error, "Is it a file written by memattach dump?");
	return MA_ERR_PROTOCOL;
}

static int walk(const uint8_t *raw, size_t size, struct layout *layout, struct ma_error *error)
{
	*layout = (struct layout){0};
	for (;;) {
		struct field field;
		switch (next_field(raw, size, layout->whole_bytes, &field)) {
		case STEP_FIELD:
			if (field.number == HEAP_FIELD)
				layout->heaps++;
			layout->whole_bytes = field.end;
			break;
		case STEP_DONE:
			return 0;
		case STEP_CUT:
			layout->cut = true;
			if (field.number == HEAP_FIELD && field.wire == WIRE_BYTES)
				layout->heap_begin = field.content;
			return 0;
		case STEP_BAD:
			return damaged(error, field.begin, "no protobuf field");
		}
	}
}

/* The parser does not say where it stopped: find the first field that it refuses. */
static int find_damage(const uint8_t *raw, size_t size, struct ma_error *error)
{
	struct field field;
	size_t at = 0;
	while (next_field(raw, size, at, &field) == STEP_FIELD) {
		Memattach__Profile *one =
			memattach__profile__unpack(NULL, field.end - at, raw + at);
		if (!one)
			return damaged(error, at, "the field does not parse");
		memattach__profile__free_unpacked(one, NULL);
		at = field.end;
	}
	return damaged(error, 0, "it does not parse as a whole");
}

/* The complete fields of a field 1000 that was cut short, NULL when there is nothing to be had. */
static Memattach__Heap *unpack_cut_heap(const uint8_t *raw, size_t size, size_t *used)
{
	struct layout layout;
	if (walk(raw, size, &layout, NULL) != 0 || layout.whole_bytes == 0)
		return NULL;
	*used = layout.whole_bytes;
	return memattach__heap__unpack(NULL, layout.whole_bytes, raw);
}

/* Unpacks and checks uncompressed bytes. *used_bytes is how many of them went into the profile. */
static int parse_raw(const uint8_t *raw, size_t size, Memattach__Profile **profile,
		     struct ma_snapshot_state *state, double *part, struct ma_error *error)
{
	struct layout layout;
	int code = walk(raw, size, &layout, error);
	if (code)
		return code;
	if (layout.heaps > 1)
		return damaged(error, 0, "field 1000 is there more than once");
	state->cut_short |= layout.cut;
	Memattach__Profile *found = memattach__profile__unpack(NULL, layout.whole_bytes, raw);
	if (!found)
		return find_damage(raw, layout.whole_bytes, error);
	size_t used = layout.whole_bytes, heap_used = 0;
	bool heap_cut = layout.heap_begin && !found->heap;
	if (heap_cut) {
		found->heap = unpack_cut_heap(raw + layout.heap_begin, size - layout.heap_begin,
					      &heap_used);
		used = layout.heap_begin + heap_used;
	}
	size_t samples = found->n_sample, dropped;
	code = ma_snapshot_check(found, state->cut_short, &dropped, error);
	if (code == 0)
		code = ma_snapshot_check_heap(found, heap_cut, state, error);
	if (code) {
		memattach__profile__free_unpacked(found, NULL);
		return code;
	}
	*part = (double)used;
	if (dropped)
		*part *= (double)(samples - dropped) / (double)samples;
	*profile = found;
	return 0;
}

int ma_snapshot_parse(const uint8_t *bytes, size_t size, Memattach__Profile **profile,
		      struct ma_snapshot_state *state, struct ma_error *error)
{
	*state = (struct ma_snapshot_state){0};
	*profile = NULL;
	if (size == 0)
		return damaged(error, 0, "the file is empty");
	const uint8_t *raw = bytes;
	uint8_t *inflated = NULL;
	size_t raw_bytes = size;
	uint64_t stated_bytes = 0;
	bool complete = true, gzip = ma_snapshot_is_gzip(bytes, size);
	int code = 0;
	if (gzip) {
		code = ma_snapshot_inflate(bytes, size, MA_SNAPSHOT_MAX_BYTES, &inflated,
					   &raw_bytes, &complete, &stated_bytes, error);
		if (code)
			return code;
		raw = inflated;
	} else if (size > MA_SNAPSHOT_MAX_BYTES) {
		return damaged(error, 0, "it is larger than 4 GiB");
	}
	state->cut_short = !complete;
	double used = 0;
	code = parse_raw(raw, raw_bytes, profile, state, &used, error);
	if (code == 0) {
		uint64_t whole = stated_bytes > raw_bytes ? stated_bytes : raw_bytes;
		state->part = state->cut_short && whole ? used / (double)whole : 1.0;
	} else if (state->cut_short && error) {
		ma_error_remedy(error, "The file was cut so early that nothing in it can be used. "
				       "Take it again.");
	}
	free(inflated);
	return code;
}
