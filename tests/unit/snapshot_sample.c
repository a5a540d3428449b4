/* SPDX-License-Identifier: MIT */
/* The profile is laid out in static storage, then copied by packing and unpacking it. */
#include "snapshot_sample.h"

#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* String indexes; the table below is in this order. */
enum {
	S_EMPTY,
	S_ALLOC_OBJECTS,
	S_COUNT,
	S_ALLOC_SPACE,
	S_BYTES,
	S_PEAK_OBJECTS,
	S_PEAK_SPACE,
	S_INUSE_OBJECTS,
	S_INUSE_SPACE,
	S_SPACE,
	S_DOMAIN,
	S_MALLOC,
	S_OBJECT,
	S_TID,
	S_PUT,
	S_HANDLE,
	S_CACHE_PY,
	S_VIEWS_PY,
	S_PYTHON,
	S_COMMENT,
	S_STRINGS,
};

static char *strings[S_STRINGS] = {
	[S_EMPTY] = "",
	[S_ALLOC_OBJECTS] = "alloc_objects",
	[S_COUNT] = "count",
	[S_ALLOC_SPACE] = "alloc_space",
	[S_BYTES] = "bytes",
	[S_PEAK_OBJECTS] = "peak_objects",
	[S_PEAK_SPACE] = "peak_space",
	[S_INUSE_OBJECTS] = "inuse_objects",
	[S_INUSE_SPACE] = "inuse_space",
	[S_SPACE] = "space",
	[S_DOMAIN] = "domain",
	[S_MALLOC] = "malloc",
	[S_OBJECT] = "object",
	[S_TID] = "tid",
	[S_PUT] = "Cache.put",
	[S_HANDLE] = "handle",
	[S_CACHE_PY] = "app/cache.py",
	[S_VIEWS_PY] = "app/views.py",
	[S_PYTHON] = "/usr/bin/python3.11",
	[S_COMMENT] = "estimates since 14:03:02",
};

static const int64_t type_strings[MA_VALUE_COUNT][2] = {
	{S_ALLOC_OBJECTS, S_COUNT}, {S_ALLOC_SPACE, S_BYTES},   {S_PEAK_OBJECTS, S_COUNT},
	{S_PEAK_SPACE, S_BYTES},    {S_INUSE_OBJECTS, S_COUNT}, {S_INUSE_SPACE, S_BYTES},
};

enum { SAMPLES = 3, POINTS = 2 };

static int64_t values[SAMPLES][MA_VALUE_COUNT] = {
	{420, 430080, 400, 409600, 410, 419840},
	{7, 700, 0, 0, 0, 0},
	{1, INT64_C(1) << 33, 1, INT64_C(1) << 33, 1, INT64_C(1) << 33},
};
static uint64_t stacks[SAMPLES][2] = {{1, 2}, {2, 0}, {0, 0}};
static const size_t stack_lengths[SAMPLES] = {2, 1, 0};

static Memattach__ValueType types[MA_VALUE_COUNT], period_type;
static Memattach__Label labels[SAMPLES][2];
static Memattach__Sample samples[SAMPLES];
static Memattach__Mapping mapping;
static Memattach__Function functions[2];
static Memattach__Line lines[2];
static Memattach__Location locations[2];
static Memattach__SiteDetail sites[SAMPLES];
static Memattach__TimelinePoint points[POINTS];
static Memattach__Series series;
static Memattach__Process process;
static Memattach__End end;
static Memattach__Totals totals;
static Memattach__Heap heap;
static double series_live[POINTS] = {1024, 419840.5};

static Memattach__ValueType *type_list[MA_VALUE_COUNT];
static Memattach__Sample *sample_list[SAMPLES];
static Memattach__Label *label_list[SAMPLES][2];
static Memattach__Mapping *mapping_list[1];
static Memattach__Function *function_list[2];
static Memattach__Line *line_list[2];
static Memattach__Location *location_list[2];
static Memattach__SiteDetail *site_list[SAMPLES];
static Memattach__TimelinePoint *point_list[POINTS];
static Memattach__Series *series_list[1];

static void fill_samples(void)
{
	for (size_t i = 0; i < SAMPLES; i++) {
		memattach__sample__init(&samples[i]);
		memattach__label__init(&labels[i][0]);
		memattach__label__init(&labels[i][1]);
		labels[i][0].key = S_DOMAIN;
		labels[i][0].str = i ? S_OBJECT : S_MALLOC;
		labels[i][1].key = S_TID;
		labels[i][1].num = 4242 + (int64_t)i;
		label_list[i][0] = &labels[i][0];
		label_list[i][1] = &labels[i][1];
		samples[i].n_location_id = stack_lengths[i];
		samples[i].location_id = stacks[i];
		samples[i].n_value = MA_VALUE_COUNT;
		samples[i].value = values[i];
		samples[i].n_label = 2;
		samples[i].label = label_list[i];
		sample_list[i] = &samples[i];
	}
}

static void fill_tables(void)
{
	memattach__mapping__init(&mapping);
	mapping.id = 1;
	mapping.memory_start = 0x400000;
	mapping.memory_limit = 0xa00000;
	mapping.filename = S_PYTHON;
	mapping.has_functions = mapping.has_filenames = mapping.has_line_numbers = 1;
	mapping_list[0] = &mapping;
	for (size_t i = 0; i < 2; i++) {
		memattach__function__init(&functions[i]);
		memattach__line__init(&lines[i]);
		memattach__location__init(&locations[i]);
		functions[i].id = locations[i].id = lines[i].function_id = i + 1;
		functions[i].name = i ? S_HANDLE : S_PUT;
		functions[i].filename = i ? S_VIEWS_PY : S_CACHE_PY;
		functions[i].start_line = i ? 30 : 80;
		lines[i].line = i ? 41 : 88;
		locations[i].mapping_id = 1;
		line_list[i] = &lines[i];
		locations[i].n_line = 1;
		locations[i].line = &line_list[i];
		function_list[i] = &functions[i];
		location_list[i] = &locations[i];
	}
}

static void fill_heap(void)
{
	memattach__heap__init(&heap);
	memattach__process__init(&process);
	memattach__end__init(&end);
	memattach__totals__init(&totals);
	memattach__series__init(&series);
	heap.schema = MA_SNAPSHOT_SCHEMA;
	process.pid = 4242;
	process.executable = "/usr/bin/python3.11";
	process.command = "gunicorn: worker [app.wsgi]";
	end.how = MEMATTACH__END__HOW__SIGNALED;
	end.signal = 9;
	end.sentence = "killed by SIGKILL";
	process.end = &end;
	heap.process = &process;
	totals.live_bytes = 420540.25;
	heap.totals = &totals;
	for (size_t i = 0; i < SAMPLES; i++) {
		memattach__site_detail__init(&sites[i]);
		sites[i].live_samples = i;
		site_list[i] = &sites[i];
	}
	heap.n_site = SAMPLES;
	heap.site = site_list;
	for (size_t i = 0; i < POINTS; i++) {
		memattach__timeline_point__init(&points[i]);
		points[i].time_nanos = 1000000000 * (i + 1);
		points[i].rss_bytes = 1 << 20;
		point_list[i] = &points[i];
	}
	heap.n_timeline = POINTS;
	heap.timeline = point_list;
	series.n_live_bytes = POINTS;
	series.live_bytes = series_live;
	series_list[0] = &series;
	heap.n_series = 1;
	heap.series = series_list;
	heap.memattach_release = "0.1.0";
}

Memattach__Profile *snapshot_sample(void)
{
	static int64_t comment = S_COMMENT;
	Memattach__Profile profile;
	memattach__profile__init(&profile);
	memattach__value_type__init(&period_type);
	fill_samples();
	fill_tables();
	fill_heap();
	for (size_t i = 0; i < MA_VALUE_COUNT; i++) {
		memattach__value_type__init(&types[i]);
		types[i].type = type_strings[i][0];
		types[i].unit = type_strings[i][1];
		type_list[i] = &types[i];
	}
	period_type.type = S_SPACE;
	period_type.unit = S_BYTES;
	profile.n_sample_type = COUNT(type_list);
	profile.sample_type = type_list;
	profile.n_sample = COUNT(sample_list);
	profile.sample = sample_list;
	profile.n_mapping = COUNT(mapping_list);
	profile.mapping = mapping_list;
	profile.n_location = COUNT(location_list);
	profile.location = location_list;
	profile.n_function = COUNT(function_list);
	profile.function = function_list;
	profile.n_string_table = COUNT(strings);
	profile.string_table = strings;
	profile.time_nanos = INT64_C(1700000010000000000);
	profile.duration_nanos = INT64_C(10000000000);
	profile.period_type = &period_type;
	profile.period = 65536;
	profile.n_comment = 1;
	profile.comment = &comment;
	profile.default_sample_type = S_INUSE_SPACE;
	profile.heap = &heap;
	size_t bytes = memattach__profile__get_packed_size(&profile);
	uint8_t *packed = malloc(bytes);
	if (!packed)
		return NULL;
	memattach__profile__pack(&profile, packed);
	Memattach__Profile *copy = memattach__profile__unpack(NULL, bytes, packed);
	free(packed);
	return copy;
}
