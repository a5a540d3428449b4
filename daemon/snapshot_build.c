/* SPDX-License-Identifier: MIT */
/* Chooses the sites of a snapshot and makes its samples; see snapshot_build.h. */
#include "daemon/snapshot_build.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/snapshot_builder.h"
#include "daemon/text.h"
#include "proto/area_check.h"
#include "proto/snapshot.h"

enum { LABELS = 3 };

/* A site that has a value, and how large it is among all. Sites that look alike are a group. */
struct pick {
	uint32_t site;
	uint32_t group;
	float share;
	float group_share; /* of the group together */
};

/* One snapshot in the making. */
struct builder {
	struct ma_session *session;
	struct ma_heap_view view;
	struct ma_session_held held;
	struct ma_snapshot *snapshot;
	struct ma_strings strings;
	struct ma_stack_builder stacks;
	struct pick *picks;
	size_t pick_count;
	struct ma_idmap group_of_key;
	float *group_shares;
	struct ma_idmap sample_of_site;
	struct ma_built_sample *samples;
	size_t sample_count;
	Memattach__Sample **messages;
	struct ma_site_view rest[MA_HEAP_DOMAINS]; /* sums of what goes into "(other)" */
	struct ma_site_view rest_held[MA_HEAP_DOMAINS];
	bool rest_used[MA_HEAP_DOMAINS];
	int64_t sums[MA_VALUE_COUNT]; /* over the samples so far */
	int64_t domain_key, thread_key, tid_key;
	int64_t domain_text[MA_HEAP_DOMAINS];
};

static const char *const domain_names[MA_HEAP_DOMAINS] = {
	[0] = "unknown",           [MA_DOMAIN_OBJECT] = "object",
	[MA_DOMAIN_MEM] = "mem",   [MA_DOMAIN_MALLOC] = "malloc",
	[MA_DOMAIN_MMAP] = "mmap",
};

void *ma_snapshot_messages(struct ma_pool *pool, size_t count, size_t message_bytes)
{
	uint8_t **pointers = ma_pool_alloc(pool, count + 1, sizeof *pointers);
	uint8_t *messages = ma_pool_alloc(pool, count + 1, message_bytes);
	if (!pointers || !messages)
		return NULL;
	for (size_t i = 0; i < count; i++)
		pointers[i] = messages + i * message_bytes;
	return pointers;
}

static double part(double value, double whole)
{
	return whole > 0 ? value / whole : 0;
}

static int compare_picks(const void *left, const void *right)
{
	const struct pick *a = left, *b = right;
	if (a->group_share != b->group_share)
		return a->group_share < b->group_share ? 1 : -1;
	if (a->group != b->group)
		return a->group < b->group ? -1 : 1;
	if (a->share != b->share)
		return a->share < b->share ? 1 : -1;
	return a->site < b->site ? -1 : a->site > b->site;
}

static bool read_site(const struct builder *builder, uint32_t id, struct ma_site *site)
{
	return ma_site_copy(&builder->session->map.area->tables, id, site) == 0;
}

/* The group of a site: one for each stack as it is shown, domain and thread. */
static uint32_t group_of(struct builder *builder, uint32_t id)
{
	struct ma_site site;
	uint64_t key = UINT64_C(1) << 63 | id;
	if (id < MA_SITES && read_site(builder, id, &site))
		key = (uint64_t)ma_stack_builder_shown(&builder->stacks, &site) << 16 |
		      (uint64_t)site.domain << 8 | site.thread;
	uint32_t group = ma_idmap_find(&builder->group_of_key, key);
	if (group != MA_IDMAP_NONE)
		return group;
	group = builder->group_of_key.used;
	if (!ma_idmap_add(&builder->group_of_key, key, group))
		builder->snapshot->pool.failed = true;
	return group;
}

/* Finds every site with a value. The largest share, of what is live, was live at the peak or was
 * allocated, says which come first, so that a cut drops what matters to no question. */
static bool find_sites(struct builder *builder)
{
	struct ma_site_view total, values;
	uint32_t peak_ms;
	uint32_t count = ma_heap_view_count(&builder->view);
	ma_heap_view_total(&builder->view, &total, &peak_ms);
	builder->picks = malloc(count * sizeof *builder->picks);
	builder->group_shares = calloc(count, sizeof *builder->group_shares);
	if (!builder->picks || !builder->group_shares)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t site = ma_heap_view_id(&builder->view, i);
		if (!ma_heap_view_site(&builder->view, site, &values))
			continue;
		double share = part(values.live_bytes, total.live_bytes);
		share = fmax(share, part(values.peak_bytes, total.peak_bytes));
		share = fmax(share, part(values.allocated_bytes, total.allocated_bytes));
		uint32_t group = group_of(builder, site);
		if (builder->snapshot->pool.failed)
			return false;
		builder->group_shares[group] += (float)share;
		builder->picks[builder->pick_count++] =
			(struct pick){.site = site, .group = group, .share = (float)share};
	}
	for (size_t i = 0; i < builder->pick_count; i++)
		builder->picks[i].group_share = builder->group_shares[builder->picks[i].group];
	qsort(builder->picks, builder->pick_count, sizeof *builder->picks, compare_picks);
	return true;
}

static void add_spread(struct ma_spread *sum, const struct ma_spread *spread)
{
	sum->bytes_variance += spread->bytes_variance;
	sum->count_variance += spread->count_variance;
	sum->bytes_third += spread->bytes_third;
	sum->count_third += spread->count_third;
	sum->bytes_shared += spread->bytes_shared;
	sum->count_shared += spread->count_shared;
}

static void add_views(struct ma_site_view *sum, const struct ma_site_view *values)
{
	if (sum->allocated_samples == 0 || values->first_ms < sum->first_ms)
		sum->first_ms = values->first_ms;
	if (values->last_ms > sum->last_ms)
		sum->last_ms = values->last_ms;
	sum->allocated_bytes += values->allocated_bytes;
	sum->allocated_count += values->allocated_count;
	sum->peak_bytes += values->peak_bytes;
	sum->peak_count += values->peak_count;
	sum->live_bytes += values->live_bytes;
	sum->live_count += values->live_count;
	add_spread(&sum->allocated, &values->allocated);
	add_spread(&sum->peak, &values->peak);
	add_spread(&sum->live, &values->live);
	sum->allocated_samples += values->allocated_samples;
	sum->live_samples += values->live_samples;
}

/* Rounds; readers add values up, so all samples together stay below 2^63 whatever a target claims.
 */
static int64_t rounded(double value, int64_t *sum)
{
	int64_t left = INT64_MAX - *sum;
	if (!(value > 0))
		return 0;
	int64_t number = value < (double)(left / 2) ? (int64_t)(value + 0.5) : left / 2;
	*sum += number;
	return number;
}

static Memattach__Sample *make_sample(struct builder *builder, struct ma_built_stack stack,
				      const struct ma_site_view *values)
{
	struct ma_pool *pool = &builder->snapshot->pool;
	Memattach__Sample *sample = ma_pool_alloc(pool, 1, sizeof *sample);
	int64_t *numbers = ma_pool_alloc(pool, MA_VALUE_COUNT, sizeof *numbers);
	if (!sample || !numbers)
		return NULL;
	*sample = (Memattach__Sample)MEMATTACH__SAMPLE__INIT;
	const double wanted[MA_VALUE_COUNT] = {
		[MA_VALUE_ALLOC_OBJECTS] = values->allocated_count,
		[MA_VALUE_ALLOC_SPACE] = values->allocated_bytes,
		[MA_VALUE_PEAK_OBJECTS] = values->peak_count,
		[MA_VALUE_PEAK_SPACE] = values->peak_bytes,
		[MA_VALUE_INUSE_OBJECTS] = values->live_count,
		[MA_VALUE_INUSE_SPACE] = values->live_bytes,
	};
	for (int i = 0; i < MA_VALUE_COUNT; i++)
		numbers[i] = rounded(wanted[i], &builder->sums[i]);
	sample->n_value = MA_VALUE_COUNT;
	sample->value = numbers;
	sample->n_location_id = stack.count;
	sample->location_id = stack.ids;
	return sample;
}

static void add_labels(struct builder *builder, Memattach__Sample *sample, uint32_t domain,
		       const char *thread, uint32_t tid)
{
	struct ma_pool *pool = &builder->snapshot->pool;
	Memattach__Label **labels = ma_snapshot_messages(pool, LABELS, sizeof **labels);
	if (!labels)
		return;
	for (int i = 0; i < LABELS; i++)
		*labels[i] = (Memattach__Label)MEMATTACH__LABEL__INIT;
	labels[0]->key = builder->domain_key;
	labels[0]->str = builder->domain_text[domain];
	labels[1]->key = builder->thread_key;
	labels[1]->str = ma_strings_add(&builder->strings, thread);
	labels[2]->key = builder->tid_key;
	labels[2]->num = tid;
	sample->n_label = LABELS;
	sample->label = labels;
}

/* Appends a sample; the room was made for the largest number there can be. */
static void append(struct builder *builder, const struct ma_built_sample *built,
		   struct ma_built_stack stack, uint32_t domain, const char *thread, uint32_t tid)
{
	Memattach__Sample *sample = make_sample(builder, stack, &built->values);
	if (!sample)
		return;
	add_labels(builder, sample, domain, thread, tid);
	builder->messages[builder->sample_count] = sample;
	builder->samples[builder->sample_count++] = *built;
}

/* The domain that an id of the heap view belongs to. */
static uint32_t domain_of(const struct builder *builder, uint32_t id)
{
	struct ma_site site;
	if (id - MA_HEAP_UNKNOWN(0) < MA_HEAP_DOMAINS)
		return id - MA_HEAP_UNKNOWN(0);
	if (id - MA_HEAP_OTHER(0) < MA_HEAP_DOMAINS)
		return id - MA_HEAP_OTHER(0);
	return read_site(builder, id, &site) ? site.domain : 0;
}

/* A thread as people know it: its name, else its id. */
static const char *thread_name(const struct builder *builder, uint8_t slot, uint32_t *tid,
			       char text[32])
{
	const struct ma_thread_name *known = &builder->session->threads.slots[slot];
	*tid = slot ? known->tid : 0;
	if (slot == 0 || known->tid == 0)
		return "(other threads)";
	if (known->name[0])
		return known->name;
	snprintf(text, 32, "(thread %u)", known->tid);
	return text;
}

/* Adds the sites of a group up: what they hold and all else. */
static struct ma_built_sample add_up(struct builder *builder, const struct pick *picks,
				     size_t count)
{
	struct ma_built_sample built = {.site = picks[0].site,
					.certain = domain_of(builder, picks[0].site) ==
						   MA_DOMAIN_MMAP};
	struct ma_site_view values;
	for (size_t i = 0; i < count; i++) {
		ma_heap_view_site(&builder->view, picks[i].site, &values);
		add_views(&built.values, &values);
		ma_heap_state_view(&builder->held.heap, picks[i].site, &values);
		add_views(&built.held, &values);
	}
	return built;
}

static void add_group(struct builder *builder, const struct pick *picks, size_t count)
{
	struct ma_built_sample built = add_up(builder, picks, count);
	struct ma_site site = {0};
	uint32_t id = picks[0].site;
	if (id >= MA_HEAP_OTHER(0) || !read_site(builder, id, &site)) {
		enum ma_pseudo_frame pseudo = id - MA_HEAP_OTHER(0) < MA_HEAP_DOMAINS
						      ? MA_PSEUDO_OTHER
						      : MA_PSEUDO_STACK_UNKNOWN;
		append(builder, &built, ma_stack_builder_pseudo(&builder->stacks, pseudo),
		       domain_of(builder, id), "(other threads)", 0);
		return;
	}
	for (size_t i = 0; i < count; i++)
		if (!ma_idmap_add(&builder->sample_of_site, picks[i].site,
				  (uint32_t)builder->sample_count))
			builder->snapshot->pool.failed = true;
	char text[32];
	uint32_t tid;
	const char *thread = thread_name(builder, site.thread, &tid, text);
	struct ma_built_stack stack = ma_stack_builder_site(&builder->stacks, &site, &built.flags);
	append(builder, &built, stack, site.domain, thread, tid);
}

/* A group that is left out goes into the rest of its domain. */
static void add_to_rest(struct builder *builder, const struct pick *picks, size_t count)
{
	struct ma_built_sample built = add_up(builder, picks, count);
	uint32_t domain = domain_of(builder, picks[0].site);
	add_views(&builder->rest[domain], &built.values);
	add_views(&builder->rest_held[domain], &built.held);
	builder->rest_used[domain] = true;
}

static void add_rest(struct builder *builder)
{
	for (uint32_t domain = 0; domain < MA_HEAP_DOMAINS; domain++) {
		if (!builder->rest_used[domain])
			continue;
		struct ma_built_sample built = {.site = MA_HEAP_OTHER(domain),
						.certain = domain == MA_DOMAIN_MMAP,
						.values = builder->rest[domain],
						.held = builder->rest_held[domain]};
		append(builder, &built, ma_stack_builder_pseudo(&builder->stacks, MA_PSEUDO_OTHER),
		       domain, "(other threads)", 0);
	}
}

/* The sites beyond the daemon's own limit are part of "(other)" as well, so that there is one. */
static bool is_left_out(const struct pick *pick, size_t rank, uint32_t max_sites)
{
	bool merged = pick->site - MA_HEAP_OTHER(0) < MA_HEAP_DOMAINS;
	return (max_sites && rank >= max_sites) || merged;
}

static bool make_samples(struct builder *builder, uint32_t max_sites)
{
	struct ma_pool *pool = &builder->snapshot->pool;
	size_t room = builder->pick_count + MA_HEAP_DOMAINS;
	builder->samples = malloc(room * sizeof *builder->samples);
	builder->messages = ma_pool_alloc(pool, room, sizeof *builder->messages);
	if (!builder->samples || !builder->messages)
		return false;
	builder->domain_key = ma_strings_add(&builder->strings, "domain");
	builder->thread_key = ma_strings_add(&builder->strings, "thread");
	builder->tid_key = ma_strings_add(&builder->strings, "tid");
	for (uint32_t i = 0; i < MA_HEAP_DOMAINS; i++)
		builder->domain_text[i] = ma_strings_add(&builder->strings, domain_names[i]);
	size_t rank = 0;
	for (size_t start = 0, end; start < builder->pick_count; start = end, rank++) {
		const struct pick *picks = &builder->picks[start];
		for (end = start + 1; end < builder->pick_count; end++)
			if (builder->picks[end].group != picks->group)
				break;
		if (is_left_out(picks, rank, max_sites))
			add_to_rest(builder, picks, end - start);
		else
			add_group(builder, picks, end - start);
	}
	add_rest(builder);
	return true;
}

static Memattach__ValueType *value_type(struct builder *builder, const char *type, const char *unit)
{
	Memattach__ValueType *made = ma_pool_alloc(&builder->snapshot->pool, 1, sizeof *made);
	if (!made)
		return NULL;
	*made = (Memattach__ValueType)MEMATTACH__VALUE_TYPE__INIT;
	made->type = ma_strings_add(&builder->strings, type);
	made->unit = ma_strings_add(&builder->strings, unit);
	return made;
}

static void add_sample_types(struct builder *builder)
{
	static const char *const types[MA_VALUE_COUNT][2] = {
		[MA_VALUE_ALLOC_OBJECTS] = {"alloc_objects", "count"},
		[MA_VALUE_ALLOC_SPACE] = {"alloc_space", "bytes"},
		[MA_VALUE_PEAK_OBJECTS] = {"peak_objects", "count"},
		[MA_VALUE_PEAK_SPACE] = {"peak_space", "bytes"},
		[MA_VALUE_INUSE_OBJECTS] = {"inuse_objects", "count"},
		[MA_VALUE_INUSE_SPACE] = {"inuse_space", "bytes"},
	};
	Memattach__Profile *profile = builder->snapshot->profile;
	struct ma_pool *pool = &builder->snapshot->pool;
	profile->sample_type = ma_pool_alloc(pool, MA_VALUE_COUNT, sizeof *profile->sample_type);
	if (!profile->sample_type)
		return;
	for (int i = 0; i < MA_VALUE_COUNT; i++)
		profile->sample_type[i] = value_type(builder, types[i][0], types[i][1]);
	profile->n_sample_type = MA_VALUE_COUNT;
	profile->default_sample_type = ma_strings_add(&builder->strings, "inuse_space");
	profile->period_type = value_type(builder, "space", "bytes");
}

static void add_head(struct builder *builder)
{
	const struct ma_session *session = builder->session;
	Memattach__Profile *profile = builder->snapshot->profile;
	bool exact = session->map.ident.mode == MA_MODE_EXACT;
	uint64_t clock_ms = ma_session_clock_ms(session);
	profile->time_nanos = (int64_t)ma_session_time_ns(session, clock_ms);
	profile->duration_nanos = (int64_t)(clock_ms * 1000000);
	profile->period =
		session->map.ident.mode == MA_MODE_SAMPLED ? session->governor.interval_bytes : 1;
	char text[64];
	struct tm local;
	time_t attached = (time_t)(session->map.ident.attach_realtime_ns / 1000000000U);
	localtime_r(&attached, &local);
	strftime(text, sizeof text, exact ? "exact since %H:%M:%S" : "estimates since %H:%M:%S",
		 &local);
	profile->comment = ma_pool_alloc(&builder->snapshot->pool, 1, sizeof *profile->comment);
	if (!profile->comment)
		return;
	profile->comment[0] = ma_strings_add(&builder->strings, text);
	profile->n_comment = 1;
}

/* Hands the tables that were being made over to the profile. */
static void finish(struct builder *builder)
{
	Memattach__Profile *profile = builder->snapshot->profile;
	profile->n_sample = builder->sample_count;
	profile->sample = builder->messages;
	profile->n_mapping = builder->stacks.mapping_count;
	profile->mapping = builder->stacks.mappings;
	profile->n_location = builder->stacks.location_count;
	profile->location = builder->stacks.locations;
	profile->n_function = builder->stacks.function_count;
	profile->function = builder->stacks.functions;
	profile->n_string_table = builder->strings.count;
	profile->string_table = builder->strings.texts;
}

static bool build(struct builder *builder, const struct ma_snapshot_query *query)
{
	struct ma_snapshot *snapshot = builder->snapshot;
	snapshot->profile = ma_pool_alloc(&snapshot->pool, 1, sizeof *snapshot->profile);
	if (!snapshot->profile)
		return false;
	*snapshot->profile = (Memattach__Profile)MEMATTACH__PROFILE__INIT;
	add_sample_types(builder);
	add_head(builder);
	if (!find_sites(builder) || !make_samples(builder, query->max_sites))
		return false;
	const struct ma_built_samples samples = {builder->samples, builder->sample_count,
						 &builder->sample_of_site};
	ma_snapshot_fill_heap(snapshot, builder->session, query, &builder->held, &samples);
	finish(builder);
	return !snapshot->pool.failed;
}

int ma_snapshot_build(struct ma_session *session, const struct ma_snapshot_query *query,
		      struct ma_snapshot *snapshot, struct ma_error *error)
{
	uint64_t age_ms =
		query->held_age_ms ? query->held_age_ms : ma_session_clock_ms(session) / 2;
	struct builder *builder = calloc(1, sizeof *builder);
	*snapshot = (struct ma_snapshot){0};
	if (!builder)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "making a snapshot");
	builder->session = session;
	builder->snapshot = snapshot;
	builder->view = ma_session_view(session);
	ma_session_held(session, age_ms, &builder->held);
	ma_strings_init(&builder->strings, &snapshot->pool);
	ma_stack_builder_init(&builder->stacks, &snapshot->pool, &builder->strings, session,
			      query->without_native);
	bool built = build(builder, query);
	ma_session_held_fini(&builder->held);
	ma_strings_fini(&builder->strings);
	ma_stack_builder_fini(&builder->stacks);
	free(builder->picks);
	free(builder->group_shares);
	ma_idmap_fini(&builder->group_of_key);
	ma_idmap_fini(&builder->sample_of_site);
	free(builder->samples);
	free(builder);
	if (built)
		return 0;
	return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "making a snapshot of process %d",
			    session->pid);
}

void ma_snapshot_fini(struct ma_snapshot *snapshot)
{
	ma_pool_fini(&snapshot->pool);
	snapshot->profile = NULL;
}
