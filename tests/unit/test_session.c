/* SPDX-License-Identifier: MIT */
/* A session with a target that is played by the test, from the first event to the last snapshot. */
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/clock.h"
#include "daemon/session.h"
#include "daemon/snapshot_build.h"
#include "fake_target.h"
#include "proto/snapshot.h"

static uint64_t now_ms(void)
{
	return ma_clock_monotonic_ns() / 1000000;
}

static struct ma_session *begin(struct fake_target *target)
{
	struct ma_session_request request = {.pid = target->pid,
					     .executable = "/usr/bin/python3.11",
					     .command = "python app.py \xff",
					     .python_version = "3.11.7",
					     .notice = "first\nsecond",
					     .interval_bytes = 65536,
					     .budget_ratio = 0.02};
	struct ma_session *session = NULL;
	struct ma_error error = {0};
	if (ma_session_create(&session, &request, dup(target->pidfd), dup(target->area.fd), -1,
			      &error))
		fail_msg("%s: %s", error.what, error.answer);
	return session;
}

/* Makes the session take in what is there, now. */
static void take_in(struct ma_session *session)
{
	session->next_poll_ms = 0;
	ma_session_poll(session, now_ms());
}

static Memattach__Profile *read_back(struct ma_session *session,
				     const struct ma_snapshot_query *query)
{
	struct ma_snapshot snapshot;
	struct ma_error error = {0};
	struct ma_snapshot_state state;
	Memattach__Profile *profile = NULL;
	uint8_t *bytes;
	size_t size;
	assert_int_equal(ma_snapshot_build(session, query, &snapshot, &error), 0);
	assert_int_equal(ma_snapshot_pack(snapshot.profile, &bytes, &size, &error), 0);
	ma_snapshot_fini(&snapshot);
	if (ma_snapshot_parse(bytes, size, &profile, &state, &error) < 0)
		fail_msg("%s: %s", error.what, error.answer);
	if (!state.heap_trusted)
		fail_msg("%s", state.heap_reason);
	const char *keep = getenv("MA_KEEP_SNAPSHOT");
	if (keep) {
		FILE *file = fopen(keep, "w");
		assert_int_equal(fwrite(bytes, 1, size, file), size);
		fclose(file);
	}
	free(bytes);
	return profile;
}

static const char *text(const Memattach__Profile *profile, int64_t index)
{
	return ma_snapshot_string(profile, index);
}

/* The sample whose innermost function has this name; NULL = none. *index is its place. */
static const Memattach__Sample *sample_of(const Memattach__Profile *profile, const char *name,
					  size_t *index)
{
	for (size_t i = 0; i < profile->n_sample; i++) {
		const Memattach__Sample *sample = profile->sample[i];
		const Memattach__Location *location = profile->location[sample->location_id[0] - 1];
		const Memattach__Function *function =
			profile->function[location->line[0]->function_id - 1];
		if (strcmp(text(profile, function->name), name) == 0) {
			*index = i;
			return sample;
		}
	}
	return NULL;
}

static const Memattach__Label *label_of(const Memattach__Profile *profile,
					const Memattach__Sample *sample, const char *key)
{
	for (size_t i = 0; i < sample->n_label; i++) {
		if (strcmp(text(profile, sample->label[i]->key), key) == 0)
			return sample->label[i];
	}
	return NULL;
}

static void assert_leak(const Memattach__Profile *profile, const struct fake_heap *heap)
{
	size_t index;
	const Memattach__Sample *sample = sample_of(profile, "Cache.leak", &index);
	assert_non_null(sample);
	assert_int_equal(sample->value[MA_VALUE_INUSE_SPACE], llround(heap->leak_bytes));
	assert_int_equal(sample->value[MA_VALUE_ALLOC_SPACE], llround(heap->leak_bytes));
	assert_int_equal(sample->value[MA_VALUE_INUSE_OBJECTS], llround(heap->leak_bytes / 65536));
	assert_string_equal(text(profile, label_of(profile, sample, "domain")->str), "object");
	assert_int_equal(sample->n_location_id, 2);
	const Memattach__Location *outer = profile->location[sample->location_id[1] - 1];
	const Memattach__Function *main_function =
		profile->function[outer->line[0]->function_id - 1];
	assert_string_equal(text(profile, main_function->name), "main");
	assert_string_equal(text(profile, main_function->filename), "/srv/app.py");
	assert_int_equal(main_function->system_name, 0);
	assert_int_equal(outer->line[0]->line, 1);
	const Memattach__SiteDetail *detail = profile->heap->site[index];
	assert_int_equal(detail->live_samples, 100);
	assert_true(detail->live_bytes_variance > 0);
}

static void test_snapshot(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct fake_heap heap = fake_target_fill(&target);
	struct ma_session *session = begin(&target);
	take_in(session);
	ma_session_second(session, now_ms());
	struct ma_snapshot_query query = {.held_age_ms = 3600000};
	Memattach__Profile *profile = read_back(session, &query);
	assert_int_equal(profile->n_sample, 3);
	assert_leak(profile, &heap);
	size_t index;
	const Memattach__Sample *sample = sample_of(profile, "Cache.leak", &index);
	assert_int_equal(label_of(profile, sample, "tid")->num, target.pid);
	assert_true(text(profile, label_of(profile, sample, "thread")->str)[0] != 0);
	sample = sample_of(profile, "<lambda>", &index);
	assert_int_equal(sample->value[MA_VALUE_INUSE_SPACE], 0);
	assert_int_equal(sample->value[MA_VALUE_ALLOC_SPACE], llround(heap.churn_bytes));
	sample = sample_of(profile, "(native thread)", &index);
	assert_int_equal(sample->value[MA_VALUE_INUSE_SPACE], llround(heap.native_bytes));
	const Memattach__Heap *field = profile->heap;
	assert_true(fabs(field->totals->live_bytes - heap.leak_bytes - heap.native_bytes) < 1);
	assert_true(field->totals->peak_bytes >= field->totals->live_bytes);
	assert_true(field->totals->held_bytes == 0);
	assert_int_equal(field->process->pid, target.pid);
	assert_string_equal(field->process->command, "python app.py \\xff");
	assert_null(field->process->end);
	assert_int_equal(field->sampler->interval_bytes, 65536);
	assert_int_equal(field->n_timeline, 1);
	assert_int_equal(field->n_series, 3);
	assert_true(field->memory->rss_bytes > 0);
	assert_int_equal(field->n_note, 2);
	assert_string_equal(text(profile, profile->mapping[0]->filename), "/usr/bin/python3.11");
	assert_non_null(strstr(text(profile, profile->comment[0]), "estimates since "));
	memattach__profile__free_unpacked(profile, NULL);
	ma_session_destroy(session);
	assert_int_equal(target.area.area->control.enabled, 0);
	fake_target_end(&target);
}

/* A cut keeps the sums: what has no sample of its own is in "(other)", by domain. */
static void test_max_sites(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	fake_target_fill(&target);
	uint32_t code = fake_area_code(&target.area, "many", "/srv/many.py", 1);
	for (uint32_t i = 0; i < 200; i++) {
		uint64_t frame = MA_FRAME(code, i * 2);
		uint32_t site =
			fake_area_site(&target.area, fake_area_stack(&target.area, &frame, 1, 0),
				       i % 2 ? MA_DOMAIN_MEM : MA_DOMAIN_MALLOC, 0, 0);
		fake_area_alloc(&target.area, 0, 0x5000000 + i * UINT64_C(4112), 100 + i, site, 0);
	}
	struct ma_session *session = begin(&target);
	take_in(session);
	struct ma_snapshot_query all = {0}, few = {.max_sites = 10, .without_series = true};
	Memattach__Profile *whole = read_back(session, &all);
	Memattach__Profile *cut = read_back(session, &few);
	assert_int_equal(whole->n_sample, 203);
	assert_int_equal(cut->n_sample, 12);
	for (int value = 0; value < MA_VALUE_COUNT; value++) {
		int64_t a = 0, b = 0;
		for (size_t i = 0; i < whole->n_sample; i++)
			a += whole->sample[i]->value[value];
		for (size_t i = 0; i < cut->n_sample; i++)
			b += cut->sample[i]->value[value];
		assert_true(llabs(a - b) <= 2);
	}
	size_t index;
	const Memattach__Sample *other = sample_of(cut, "(other)", &index);
	assert_non_null(label_of(cut, other, "domain"));
	memattach__profile__free_unpacked(whole, NULL);
	memattach__profile__free_unpacked(cut, NULL);
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_killed(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session *session = begin(&target);
	/* What it wrote before it was killed is still read. */
	struct fake_heap heap = fake_target_fill(&target);
	fake_target_kill(&target, SIGKILL);
	ma_session_exited(session);
	assert_int_equal(session->state, MA_SESSION_ENDED);
	struct ma_snapshot_query query = {.held_age_ms = 1};
	Memattach__Profile *profile = read_back(session, &query);
	assert_leak(profile, &heap);
	const Memattach__End *end = profile->heap->process->end;
	assert_non_null(end);
	assert_int_equal(end->how, MEMATTACH__END__HOW__SIGNALED);
	assert_int_equal(end->signal, SIGKILL);
	assert_non_null(strstr(end->sentence, "SIGKILL"));
	memattach__profile__free_unpacked(profile, NULL);
	assert_int_equal(ma_session_poll(session, now_ms()), UINT64_MAX);
	assert_false(ma_session_is_stale(session, now_ms()));
	assert_true(ma_session_is_stale(session, now_ms() + 24 * 3600 * 1000 + 1000));
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_exit_code(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session *session = begin(&target);
	fake_target_order(&target, FAKE_EXIT_3);
	ma_session_exited(session);
	assert_int_equal(session->end.how, MA_SESSION_EXITED);
	assert_int_equal(session->end.code, 3);
	ma_session_destroy(session);
	fake_target_end(&target);
}

static double live_bytes(const struct ma_session *session)
{
	struct ma_site_view total;
	ma_heap_state_total(&session->heap, &total);
	return total.live_bytes;
}

/* Frees whose events are lost are made good from the live set. */
static void test_lost_frees(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct fake_heap heap = fake_target_fill(&target);
	struct ma_session *session = begin(&target);
	take_in(session);
	double before = live_bytes(session);
	for (uint64_t i = 0; i < 40; i++)
		assert_true(fake_area_free(&target.area, 0,
					   UINT64_C(0x7f1000000000) + (i + 100) * 65552, false));
	session->next_rebuild_ms = 0;
	take_in(session);
	assert_true(fabs(live_bytes(session) - before + 0.4 * heap.leak_bytes) < 1);
	assert_true((double)session->heap.total.peak_bytes / MA_BYTES_UNITS >= before);
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_held(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_area *area = target.area.area;
	area->ident.attach_monotonic_ns -= UINT64_C(20000000000);
	struct ma_session *session = begin(&target);
	uint32_t site = fake_area_site(&target.area, 0, MA_DOMAIN_MALLOC, 0, 0);
	area->control.clock_ms = 5000;
	fake_area_alloc(&target.area, 0, 0x100000, 1000, site, 0);
	area->control.clock_ms = 15000;
	fake_area_alloc(&target.area, 0, 0x200000, 50, site, 0);
	struct ma_event map = {.address = 0x40000000,
			       .size_bytes = 1 << 20,
			       .clock_ms = 4000,
			       .kind = MA_EVENT_MAP,
			       .domain = MA_DOMAIN_MMAP};
	fake_area_push(&target.area, 2, map);
	take_in(session);
	struct ma_snapshot_query query = {0}; /* half of 20 seconds */
	for (int ended = 0; ended < 2; ended++) {
		Memattach__Profile *profile = read_back(session, &query);
		assert_true(profile->heap->totals->held_bytes == 1000 + (1 << 20));
		assert_true(profile->heap->totals->live_bytes == 1050 + (1 << 20));
		memattach__profile__free_unpacked(profile, NULL);
		ma_session_finish(session, MA_SESSION_DETACHED, "detached");
	}
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_regions(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session *session = begin(&target);
	struct ma_event event = {.address = 0x40000000,
				 .size_bytes = 10 << 12,
				 .kind = MA_EVENT_MAP,
				 .domain = MA_DOMAIN_MMAP};
	fake_area_push(&target.area, 0, event);
	event.kind = MA_EVENT_UNMAP;
	event.address += 4 << 12;
	event.size_bytes = 1 << 12;
	fake_area_push(&target.area, 1, event);
	take_in(session);
	assert_true(live_bytes(session) == 9 << 12);
	assert_int_equal(session->heap.total.live_count, MA_COUNT_UNITS);
	/* The target never had it: the comparison with its maps takes it away. */
	ma_session_second(session, now_ms());
	assert_true(live_bytes(session) == 0);
	assert_int_equal(session->heap.total.live_count, 0);
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_exact(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_EXACT, 2048);
	uint32_t code = fake_area_code(&target.area, "keep", "/srv/keep.py", 5);
	uint64_t frame = MA_FRAME(code, 2);
	uint32_t site = fake_area_site(&target.area, fake_area_stack(&target.area, &frame, 1, 0),
				       MA_DOMAIN_OBJECT, 0, 0);
	for (uint64_t i = 0; i < 1000; i++)
		fake_area_exact_alloc(&target.area, 0x10000000 + i * 48, 33, site, 0);
	struct ma_session *session = begin(&target);
	take_in(session);
	ma_session_second(session, now_ms());
	struct ma_snapshot_query query = {.held_age_ms = 1};
	/* Births are at 0, so all is held once the clock has moved on. */
	while (ma_session_clock_ms(session) < 2)
		poll(NULL, 0, 1);
	for (int ended = 0; ended < 2; ended++) {
		Memattach__Profile *profile = read_back(session, &query);
		size_t index;
		const Memattach__Sample *sample = sample_of(profile, "keep", &index);
		assert_int_equal(sample->value[MA_VALUE_INUSE_SPACE], 33000);
		assert_int_equal(sample->value[MA_VALUE_PEAK_OBJECTS], 1000);
		assert_true(profile->heap->site[index]->held_bytes == 33000);
		assert_true(profile->heap->totals->live_bytes_variance == 0);
		assert_int_equal(profile->heap->n_size_class, 1);
		assert_int_equal(profile->heap->size_class[0]->low_bytes, 32);
		assert_true(profile->heap->size_class[0]->live_count == 1000);
		assert_non_null(strstr(text(profile, profile->comment[0]), "exact since "));
		memattach__profile__free_unpacked(profile, NULL);
		fake_target_kill(&target, SIGKILL);
		ma_session_exited(session);
	}
	ma_session_destroy(session);
	fake_target_end(&target);
}

static bool has_note(const struct ma_session *session, const char *part)
{
	for (uint32_t i = 0; i < session->notes.count; i++) {
		if (strstr(session->notes.notes[i].text, part))
			return true;
	}
	return false;
}

static void test_hook_is_watched(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session *session = begin(&target);
	ma_session_second(session, now_ms());
	assert_false(has_note(session, "domain object"));
	fake_target_order(&target, FAKE_REPLACE_TABLE);
	ma_session_second(session, now_ms());
	assert_true(has_note(session, "domain object was replaced"));
	assert_false(has_note(session, "domain mem"));
	fake_target_order(&target, FAKE_RESTORE_TABLE);
	ma_session_second(session, now_ms());
	assert_true(has_note(session, "leads to us again"));
	assert_int_equal(session->state, MA_SESSION_TRACKING);
	fake_target_order(&target, FAKE_REMOVE_HOOK);
	ma_session_second(session, now_ms());
	assert_int_equal(session->state, MA_SESSION_ENDED);
	assert_int_equal(session->end.how, MA_SESSION_DETACHED);
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_exec(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session *session = begin(&target);
	fake_target_order(&target, FAKE_EXEC);
	ma_session_second(session, now_ms());
	assert_int_equal(session->end.how, MA_SESSION_EXECED);
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_hook_gives_up(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session *session = begin(&target);
	assert_true(ma_session_is_tracking(session));
	target.area.area->counters.fault = MA_FAULT_LEASE;
	assert_true(ma_session_is_tracking(session));
	target.area.area->counters.fault = MA_FAULT_CORRUPT;
	assert_false(ma_session_is_tracking(session));
	assert_int_equal(session->state, MA_SESSION_LOST);
	assert_true(has_note(session, "switched itself off"));
	ma_session_destroy(session);
	fake_target_end(&target);
}

/* A daemon that was stopped for longer than its lease says so. */
static void test_stood_still(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session *session = begin(&target);
	take_in(session);
	assert_false(has_note(session, "stood still"));
	session->next_poll_ms = 0;
	ma_session_poll(session, now_ms() + 45000);
	assert_true(has_note(session, "stood still for 45 s") ||
		    has_note(session, "stood still for 44 s"));
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_control(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_control *control = &target.area.area->control;
	struct ma_session *session = begin(&target);
	assert_int_equal(control->enabled, 1);
	assert_true(control->lease_tsc > ma_clock_tsc());
	ma_session_set_interval(session, 1 << 20);
	assert_int_equal(control->interval_bytes, 1 << 20);
	ma_session_detach_begin(session);
	assert_int_equal(control->enabled, 0);
	ma_session_detach_cancel(session);
	assert_int_equal(control->enabled, 1);
	/* Nobody asks for a day: sampling ends, the session says why. */
	session->keep = true;
	ma_session_second(session, now_ms() + 25 * 3600 * 1000);
	assert_int_equal(session->state, MA_SESSION_TRACKING);
	session->keep = false;
	ma_session_second(session, now_ms() + 25 * 3600 * 1000);
	assert_int_equal(session->state, MA_SESSION_LOST);
	assert_int_equal(control->enabled, 0);
	assert_true(has_note(session, "memattach detach"));
	ma_session_destroy(session);
	fake_target_end(&target);
}

/* A claim whose thread is gone is freed; that of a living thread is not. */
static void test_dead_claims(void **state)
{
	(void)state;
	struct fake_target target;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session *session = begin(&target);
	struct ma_ring *rings = target.area.area->rings;
	rings[1].claim = (uint32_t)target.pid;
	rings[2].claim = 0x3fffffff; /* above any pid_max */
	ma_session_second(session, now_ms());
	assert_int_equal(rings[2].claim, 0x3fffffff);
	ma_session_second(session, now_ms());
	ma_session_second(session, now_ms());
	assert_int_equal(rings[1].claim, target.pid);
	assert_int_equal(rings[2].claim, 0);
	ma_session_destroy(session);
	fake_target_end(&target);
}

static void test_refuses(void **state)
{
	(void)state;
	struct fake_target target;
	struct ma_session *session;
	struct ma_error error;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	struct ma_session_request request = {.pid = getpid()};
	assert_int_equal(ma_session_create(&session, &request, dup(target.pidfd),
					   dup(target.area.fd), -1, &error),
			 MA_ERR_PROTOCOL);
	request.pid = target.pid;
	assert_int_equal(ma_session_create(&session, &request, dup(target.area.fd),
					   dup(target.area.fd), -1, &error),
			 MA_ERR_PROTOCOL);
	assert_int_equal(ma_session_create(&session, &request, dup(target.pidfd), dup(target.pidfd),
					   -1, &error),
			 MA_ERR_PROTOCOL);
	fake_target_kill(&target, SIGKILL);
	assert_int_equal(ma_session_create(&session, &request, dup(target.pidfd),
					   dup(target.area.fd), -1, &error),
			 MA_ERR_NO_PROCESS);
	fake_target_end(&target);
}

/* Everything behind the first page is noise. */
static void test_hostile_area(void **state)
{
	(void)state;
	srandom(12);
	for (int round = 0; round < 12; round++) {
		struct fake_target target;
		bool exact = round % 3 == 2;
		fake_target_start(&target, exact ? MA_MODE_EXACT : MA_MODE_SAMPLED, 600);
		struct ma_area *area = target.area.area;
		uint8_t *bytes = (uint8_t *)area;
		struct ma_session *session = begin(&target);
		/* Tables that are nearly right lead further in than pure noise. */
		fake_target_fill(&target);
		uint64_t count = round < 3 ? 20000 : 2000000;
		for (uint64_t i = 0; i < count; i++) {
			uint64_t at = ((uint64_t)random() << 20 ^ (uint64_t)random()) %
				      (target.area.bytes - 2 * MA_PAGE_BYTES);
			bytes[2 * MA_PAGE_BYTES + at] = (uint8_t)(random() >> 5);
		}
		area->tables.site_count = (uint32_t)random() % MA_SITES;
		area->tables.stack_used = (uint64_t)random() % MA_STACK_WORDS;
		area->tables.code_used = (uint64_t)random() % MA_CODE_WORDS;
		for (int i = 0; i < MA_RINGS; i++)
			area->rings[i].head =
				area->rings[i].tail + (uint64_t)random() % MA_RING_EVENTS;
		for (int i = 0; i < 3; i++) {
			take_in(session);
			ma_session_second(session, now_ms());
		}
		struct ma_snapshot_query query = {0};
		memattach__profile__free_unpacked(read_back(session, &query), NULL);
		fake_target_kill(&target, SIGKILL);
		ma_session_exited(session);
		memattach__profile__free_unpacked(read_back(session, &query), NULL);
		ma_session_destroy(session);
		fake_target_end(&target);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot),        cmocka_unit_test(test_max_sites),
		cmocka_unit_test(test_killed),          cmocka_unit_test(test_exit_code),
		cmocka_unit_test(test_lost_frees),      cmocka_unit_test(test_held),
		cmocka_unit_test(test_regions),         cmocka_unit_test(test_exact),
		cmocka_unit_test(test_hook_is_watched), cmocka_unit_test(test_exec),
		cmocka_unit_test(test_hook_gives_up),   cmocka_unit_test(test_stood_still),
		cmocka_unit_test(test_control),         cmocka_unit_test(test_dead_claims),
		cmocka_unit_test(test_refuses),         cmocka_unit_test(test_hostile_area),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
