/* SPDX-License-Identifier: MIT */
/* Profiles made by hand. Everything is allocated, as if it had been unpacked. */
#include "cli_profile.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAKE(type, init)                                                                           \
	static type *make_##init(void)                                                             \
	{                                                                                          \
		type *message = malloc(sizeof *message);                                           \
		memattach__##init##__init(message);                                                \
		return message;                                                                    \
	}

MAKE(Memattach__Profile, profile)
MAKE(Memattach__Sample, sample)
MAKE(Memattach__Location, location)
MAKE(Memattach__Line, line)
MAKE(Memattach__Function, function)
MAKE(Memattach__Heap, heap)
MAKE(Memattach__Process, process)
MAKE(Memattach__Sampler, sampler)
MAKE(Memattach__Loss, loss)
MAKE(Memattach__Totals, totals)
MAKE(Memattach__Memory, memory)
MAKE(Memattach__SiteDetail, site_detail)

enum { MOST = 64 };

void cli_profile_set(char **string, const char *value)
{
	if (*string != protobuf_c_empty_string)
		free(*string);
	*string = strdup(value);
}

static int64_t intern(Memattach__Profile *profile, const char *string)
{
	for (size_t i = 0; i < profile->n_string_table; i++)
		if (strcmp(profile->string_table[i], string) == 0)
			return (int64_t)i;
	profile->string_table[profile->n_string_table] = strdup(string);
	return (int64_t)profile->n_string_table++;
}

/* Id of the location that stands for "name|file|line"; a location has one line here. */
static uint64_t add_frame(Memattach__Profile *profile, const char *frame)
{
	char name[256], file[256];
	long line = 0;
	file[0] = '\0';
	bool native = frame[0] == '!';
	if (sscanf(frame + native, "%255[^|]|%255[^|]|%ld", name, file, &line) < 1)
		abort();
	int64_t name_id = intern(profile, name), file_id = intern(profile, file);
	size_t function = 0;
	while (function < profile->n_function && (profile->function[function]->name != name_id ||
						  profile->function[function]->filename != file_id))
		function++;
	if (function == profile->n_function) {
		Memattach__Function *made = make_function();
		made->id = ++profile->n_function;
		made->name = name_id;
		made->filename = file_id;
		made->system_name = native ? name_id : 0;
		profile->function[function] = made;
	}
	Memattach__Location *location = make_location();
	location->id = profile->n_location + 1;
	location->n_line = 1;
	location->line = malloc(sizeof *location->line);
	location->line[0] = make_line();
	location->line[0]->function_id = function + 1;
	location->line[0]->line = line;
	profile->location[profile->n_location++] = location;
	return location->id;
}

static void add_sample(Memattach__Profile *profile, const struct cli_sample *from)
{
	Memattach__Sample *sample = make_sample();
	Memattach__SiteDetail *site = make_site_detail();
	Memattach__Totals *totals = profile->heap->totals;
	const double values[MA_VALUE_COUNT] = {from->count * 4, from->allocated, from->count,
					       from->peak,      from->count,     from->live};
	sample->location_id = calloc(8, sizeof *sample->location_id);
	for (size_t i = 0; i < 8 && from->frames[i]; i++)
		sample->location_id[sample->n_location_id++] = add_frame(profile, from->frames[i]);
	sample->n_value = MA_VALUE_COUNT;
	sample->value = calloc(MA_VALUE_COUNT, sizeof *sample->value);
	for (int i = 0; i < MA_VALUE_COUNT; i++)
		sample->value[i] = (int64_t)values[i];
	site->held_bytes = from->held;
	site->held_bytes_variance = from->variance / 2;
	site->live_bytes_variance = from->variance;
	site->peak_bytes_variance = from->variance;
	site->live_samples = 1;
	site->flags = from->flags;
	profile->sample[profile->n_sample++] = sample;
	profile->heap->site[profile->heap->n_site++] = site;
	totals->held_bytes += from->held;
	totals->live_bytes += from->live;
	totals->live_count += from->count;
	totals->peak_bytes += from->peak;
	totals->allocated_bytes += from->allocated;
	totals->live_bytes_variance += from->variance;
	totals->peak_bytes_variance += from->variance;
}

static void fill_memory(Memattach__Memory *memory)
{
	const double gib = 1073741824.0;
	memory->rss_bytes = (uint64_t)(1.84 * gib);
	memory->rss_peak_bytes = (uint64_t)(1.91 * gib);
	memory->rss_anonymous_bytes = (uint64_t)(1.71 * gib);
	memory->rss_file_bytes = (uint64_t)(0.12 * gib);
	memory->rss_shared_bytes = (uint64_t)(0.01 * gib);
	memory->minor_faults = 481234;
	memory->major_faults = 3;
	memory->cgroup_bytes = (uint64_t)(1.90 * gib);
	memory->cgroup_limit_bytes = (uint64_t)(2 * gib);
	memory->rss_at_attach_bytes = (uint64_t)(1.80 * gib);
	memory->growth_bytes_per_second = 3.1 * 1048576;
}

Memattach__Profile *cli_profile_make(const struct cli_sample *samples, size_t count)
{
	Memattach__Profile *profile = make_profile();
	Memattach__Heap *heap = make_heap();
	profile->heap = heap;
	profile->string_table = calloc(MOST * 8, sizeof *profile->string_table);
	profile->function = calloc(MOST * 8, sizeof(void *));
	profile->location = calloc(MOST * 8, sizeof(void *));
	profile->sample = calloc(MOST, sizeof(void *));
	heap->site = calloc(MOST, sizeof(void *));
	intern(profile, "");
	heap->process = make_process();
	heap->process->pid = 4242;
	heap->process->uid = 1000;
	heap->process->threads = 9;
	heap->process->start_time_nanos =
		CLI_SNAPSHOT_NS - (6 * 86400 + 2 * 3600) * UINT64_C(1000000000);
	cli_profile_set(&heap->process->command, "gunicorn: worker [app.wsgi]");
	cli_profile_set(&heap->process->executable, "/usr/bin/python3.11");
	cli_profile_set(&heap->process->python_version, "3.11.7");
	heap->sampler = make_sampler();
	heap->sampler->mode = MEMATTACH__SAMPLER__MODE__SAMPLED;
	heap->sampler->interval_bytes = heap->sampler->interval_min_bytes =
		heap->sampler->interval_max_bytes = 65536;
	heap->sampler->samples = 60000;
	heap->loss = make_loss();
	heap->loss->stacks_truncated = 12;
	heap->totals = make_totals();
	heap->totals->allocated_bytes_per_second = 412 * 1048576.0;
	heap->memory = make_memory();
	fill_memory(heap->memory);
	heap->attach_time_nanos = CLI_ATTACH_NS;
	heap->snapshot_time_nanos = CLI_SNAPSHOT_NS;
	heap->peak_time_nanos = CLI_ATTACH_NS + UINT64_C(7000000000);
	heap->held_age_nanos = UINT64_C(5000000000);
	heap->cost_ratio = 0.014;
	for (size_t i = 0; i < count && i < MOST; i++)
		add_sample(profile, &samples[i]);
	return profile;
}
