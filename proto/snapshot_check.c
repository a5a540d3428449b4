/* SPDX-License-Identifier: MIT */
/*
 * The tables of a profile refer to each other by index and id. One function per table says what is
 * wrong with one record; a whole file is refused at the first fault, a file that was cut short
 * loses what it can no longer explain.
 */
#include "proto/snapshot_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/utf8.h"

static int refuse(struct ma_error *error, const char *table, size_t index, const char *reason)
{
	ma_error_set(error, MA_ERR_PROTOCOL, 0, "checking the snapshot");
	ma_error_answer(error, "%s %zu: %s", table, index, reason);
	ma_error_remedy(error, "The file is damaged, or not from memattach. Take it again.");
	return MA_ERR_PROTOCOL;
}

static bool is_string(const Memattach__Profile *profile, int64_t index)
{
	return index >= 0 && (uint64_t)index < profile->n_string_table;
}

static bool is_line(int64_t line)
{
	return line >= 0 && line <= INT32_MAX;
}

static const char *mapping_fault(const Memattach__Profile *profile, size_t index)
{
	const Memattach__Mapping *mapping = profile->mapping[index];
	if (mapping->id != index + 1)
		return "ids are not dense from 1";
	if (!is_string(profile, mapping->filename) || !is_string(profile, mapping->build_id))
		return "a string index is out of range";
	return NULL;
}

static const char *function_fault(const Memattach__Profile *profile, size_t index)
{
	const Memattach__Function *function = profile->function[index];
	if (function->id != index + 1)
		return "ids are not dense from 1";
	if (!is_string(profile, function->name) || !is_string(profile, function->system_name) ||
	    !is_string(profile, function->filename))
		return "a string index is out of range";
	if (!is_line(function->start_line))
		return "its first line is impossible";
	return NULL;
}

static const char *location_fault(const Memattach__Profile *profile, size_t index)
{
	const Memattach__Location *location = profile->location[index];
	if (location->id != index + 1)
		return "ids are not dense from 1";
	if (location->mapping_id > profile->n_mapping)
		return "its mapping is not there";
	for (size_t i = 0; i < location->n_line; i++) {
		const Memattach__Line *line = location->line[i];
		if (line->function_id == 0 || line->function_id > profile->n_function)
			return "its function is not there";
		if (!is_line(line->line))
			return "its line is impossible";
	}
	return NULL;
}

static const char *sample_fault(const Memattach__Profile *profile, size_t index)
{
	const Memattach__Sample *sample = profile->sample[index];
	if (sample->n_value != MA_VALUE_COUNT)
		return "it has not six values";
	for (size_t i = 0; i < sample->n_value; i++)
		if (sample->value[i] < 0)
			return "a value is negative";
	for (size_t i = 0; i < sample->n_location_id; i++)
		if (sample->location_id[i] == 0 || sample->location_id[i] > profile->n_location)
			return "a location is not there";
	for (size_t i = 0; i < sample->n_label; i++)
		if (!is_string(profile, sample->label[i]->key) ||
		    !is_string(profile, sample->label[i]->str) ||
		    !is_string(profile, sample->label[i]->num_unit))
			return "a label's string index is out of range";
	return NULL;
}

/* A table of the profile, with where its array and its length are in Memattach__Profile. */
struct table {
	const char *name;
	size_t array_offset;
	size_t count_offset;
	const char *(*fault)(const Memattach__Profile *profile, size_t index);
};

#define TABLE(member, check)                                                                       \
	{                                                                                          \
		.name = #member, .array_offset = offsetof(Memattach__Profile, member),             \
		.count_offset = offsetof(Memattach__Profile, n_##member), .fault = check,          \
	}

/* In the order in which they refer to each other. */
static const struct table tables[] = {
	TABLE(mapping, mapping_fault),
	TABLE(function, function_fault),
	TABLE(location, location_fault),
};
static const struct table sample_table = TABLE(sample, sample_fault);

/* Takes out records of a table: those at fault one by one, or everything from the first one on. */
static size_t prune(Memattach__Profile *profile, const struct table *table, bool rest_too)
{
	char *base = (char *)profile;
	ProtobufCMessage **array = *(ProtobufCMessage ***)(void *)(base + table->array_offset);
	size_t *count = (size_t *)(void *)(base + table->count_offset);
	size_t kept = 0, all = *count;
	bool ended = false;
	for (size_t i = 0; i < all; i++) {
		ended = (ended && rest_too) || table->fault(profile, i) != NULL;
		if (ended)
			protobuf_c_message_free_unpacked(array[i], NULL);
		else
			array[kept++] = array[i];
	}
	*count = kept;
	return all - kept;
}

static int check_table(Memattach__Profile *profile, const struct table *table,
		       struct ma_error *error)
{
	size_t count = *(size_t *)(void *)((char *)profile + table->count_offset);
	for (size_t i = 0; i < count; i++) {
		const char *fault = table->fault(profile, i);
		if (fault)
			return refuse(error, table->name, i, fault);
	}
	return 0;
}

/* Six columns of non-negative values: may the reader add each of them up in 64 bits? */
static int check_sums(const Memattach__Profile *profile, struct ma_error *error)
{
	int64_t sums[MA_VALUE_COUNT] = {0};
	for (size_t i = 0; i < profile->n_sample; i++)
		for (size_t j = 0; j < MA_VALUE_COUNT; j++)
			if (__builtin_add_overflow(sums[j], profile->sample[i]->value[j], &sums[j]))
				return refuse(error, "sample", i, "the values add up beyond 2^63");
	return 0;
}

static int check_sample_types(const Memattach__Profile *profile, struct ma_error *error)
{
	static const struct {
		const char *type, *unit;
	} expected[MA_VALUE_COUNT] = {
		[MA_VALUE_ALLOC_OBJECTS] = {"alloc_objects", "count"},
		[MA_VALUE_ALLOC_SPACE] = {"alloc_space", "bytes"},
		[MA_VALUE_PEAK_OBJECTS] = {"peak_objects", "count"},
		[MA_VALUE_PEAK_SPACE] = {"peak_space", "bytes"},
		[MA_VALUE_INUSE_OBJECTS] = {"inuse_objects", "count"},
		[MA_VALUE_INUSE_SPACE] = {"inuse_space", "bytes"},
	};
	for (size_t i = 0; i < MA_VALUE_COUNT; i++) {
		if (i >= profile->n_sample_type)
			return refuse(error, "sample type", i, "it is missing");
		const Memattach__ValueType *type = profile->sample_type[i];
		if (strcmp(ma_snapshot_string(profile, type->type), expected[i].type) != 0 ||
		    strcmp(ma_snapshot_string(profile, type->unit), expected[i].unit) != 0)
			return refuse(error, "sample type", i, "it is not the one expected");
	}
	if (profile->n_sample_type != MA_VALUE_COUNT)
		return refuse(error, "sample type", MA_VALUE_COUNT, "there are more than six");
	return 0;
}

static int check_scalars(const Memattach__Profile *profile, struct ma_error *error)
{
	if (profile->n_string_table == 0 || ma_snapshot_string(profile, 0)[0] != '\0')
		return refuse(error, "string", 0, "it is not empty");
	const int64_t strings[] = {
		profile->drop_frames,
		profile->keep_frames,
		profile->default_sample_type,
		profile->doc_url,
		profile->period_type ? profile->period_type->type : 0,
		profile->period_type ? profile->period_type->unit : 0,
	};
	for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
		if (!is_string(profile, strings[i]))
			return refuse(error, "profile field", i, "a string index is out of range");
	for (size_t i = 0; i < profile->n_comment; i++)
		if (!is_string(profile, profile->comment[i]))
			return refuse(error, "comment", i, "a string index is out of range");
	if (profile->time_nanos < 0 || profile->duration_nanos < 0 || profile->period < 0)
		return refuse(error, "profile field", 0, "a time or the period is negative");
	return 0;
}

static int check_content(const ProtobufCMessage *message, struct ma_error *error);

/* One value of a field, by its type. */
static int check_value(const ProtobufCFieldDescriptor *field, const void *at, size_t index,
		       struct ma_error *error)
{
	if (field->type == PROTOBUF_C_TYPE_STRING) {
		const char *text = *(const char *const *)at;
		if (text && !ma_utf8_valid(text, strlen(text)))
			return refuse(error, field->name, index, "it is not UTF-8");
	} else if (field->type == PROTOBUF_C_TYPE_DOUBLE) {
		if (!isfinite(*(const double *)at))
			return refuse(error, field->name, index, "it is not a finite number");
	} else if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
		const ProtobufCMessage *child = *(const ProtobufCMessage *const *)at;
		if (child)
			return check_content(child, error);
	}
	return 0;
}

static size_t value_bytes(const ProtobufCFieldDescriptor *field)
{
	return field->type == PROTOBUF_C_TYPE_DOUBLE ? sizeof(double) : sizeof(void *);
}

/*
 * Unknown fields, strings and floating-point numbers of a message and all within it. The schema
 * does not nest a message in itself, so the depth is the schema's.
 */
static int check_content(const ProtobufCMessage *message, struct ma_error *error)
{
	const ProtobufCMessageDescriptor *descriptor = message->descriptor;
	/* protobuf-c keeps fields that it does not know, even one that no protobuf may have. */
	for (unsigned i = 0; i < message->n_unknown_fields; i++)
		if (message->unknown_fields[i].tag == 0)
			return refuse(error, descriptor->name, i, "it has a field of number 0");
	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		const char *at = (const char *)message + field->offset;
		size_t count = 1;
		if (field->type != PROTOBUF_C_TYPE_STRING &&
		    field->type != PROTOBUF_C_TYPE_DOUBLE && field->type != PROTOBUF_C_TYPE_MESSAGE)
			continue;
		if (field->label == PROTOBUF_C_LABEL_REPEATED) {
			count = *(const size_t *)(const void *)((const char *)message +
								field->quantifier_offset);
			at = *(const char *const *)(const void *)at;
		}
		for (size_t j = 0; j < count; j++) {
			int code = check_value(field, at + j * value_bytes(field), j, error);
			if (code)
				return code;
		}
	}
	return 0;
}

int ma_snapshot_check(Memattach__Profile *profile, bool cut, size_t *dropped_samples,
		      struct ma_error *error)
{
	*dropped_samples = 0;
	int code = check_content(&profile->base, error);
	if (code == 0)
		code = check_scalars(profile, error);
	if (code == 0)
		code = check_sample_types(profile, error);
	for (size_t i = 0; code == 0 && i < sizeof tables / sizeof tables[0]; i++) {
		if (cut)
			prune(profile, &tables[i], true);
		else
			code = check_table(profile, &tables[i], error);
	}
	if (code)
		return code;
	if (cut)
		*dropped_samples = prune(profile, &sample_table, false);
	else
		code = check_table(profile, &sample_table, error);
	return code ? code : check_sums(profile, error);
}

/* Nobody may join these with samples that they were not made for. */
static void forget_sites(Memattach__Heap *heap)
{
	for (size_t i = 0; i < heap->n_site; i++)
		memattach__site_detail__free_unpacked(heap->site[i], NULL);
	free(heap->site);
	heap->site = NULL;
	heap->n_site = 0;
	for (size_t i = 0; i < heap->n_series; i++)
		memattach__series__free_unpacked(heap->series[i], NULL);
	free(heap->series);
	heap->series = NULL;
	heap->n_series = 0;
}

/* Why the heap does not belong to these samples; false when it does. */
static bool heap_doubt(const Memattach__Profile *profile, bool heap_cut,
		       struct ma_snapshot_state *state)
{
	char *reason = state->heap_reason;
	size_t room = sizeof state->heap_reason;
	const Memattach__Heap *heap = profile->heap;
	if (!heap)
		snprintf(reason, room, "%s",
			 state->cut_short
				 ? "the file ends before memattach's own part"
				 : "the file has no part of memattach's own: another program "
				   "wrote or rewrote it");
	else if (heap_cut)
		snprintf(reason, room, "the file ends within memattach's own part");
	else if (heap->schema != MA_SNAPSHOT_SCHEMA)
		snprintf(reason, room, "memattach's own part has schema %u; this release knows %d",
			 (unsigned)heap->schema, MA_SNAPSHOT_SCHEMA);
	else if (heap->sample_count != profile->n_sample)
		snprintf(reason, room,
			 "written with %llu samples, now %zu: merged, filtered or cut",
			 (unsigned long long)heap->sample_count, profile->n_sample);
	else if (heap->n_site != profile->n_sample)
		snprintf(reason, room, "details of %zu sites for %zu samples", heap->n_site,
			 profile->n_sample);
	else if (heap->sample_crc32 != ma_snapshot_crc(profile))
		snprintf(reason, room, "the samples were changed after they were written");
	return reason[0] != '\0';
}

int ma_snapshot_check_heap(Memattach__Profile *profile, bool heap_cut,
			   struct ma_snapshot_state *state, struct ma_error *error)
{
	state->heap_reason[0] = '\0';
	state->heap_trusted = !heap_doubt(profile, heap_cut, state);
	Memattach__Heap *heap = profile->heap;
	if (!state->heap_trusted) {
		if (heap)
			forget_sites(heap);
		return 0;
	}
	for (size_t i = 0; i < heap->n_series; i++) {
		const Memattach__Series *series = heap->series[i];
		if (series->sample_index >= profile->n_sample)
			return refuse(error, "series", i, "its sample is not there");
		if (series->first_point > heap->n_timeline ||
		    series->n_live_bytes > heap->n_timeline - series->first_point ||
		    series->n_allocated_bytes > heap->n_timeline - series->first_point)
			return refuse(error, "series", i, "it has more points than the timeline");
	}
	return 0;
}
