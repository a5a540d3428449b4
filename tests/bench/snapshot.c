/* SPDX-License-Identifier: MIT */
/*
 * How long a snapshot takes and how large it is, by the number of sites: stacks of 30 frames out of
 * 5,000 code objects, an hour of timeline. Usage: ma_bench_snapshot [sites]
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/session.h"
#include "daemon/snapshot_build.h"
#include "proto/snapshot.h"
#include "tests/unit/fake_target.h"

enum { CODES = 5000, FRAMES = 30, SECONDS = 3600 };

static uint32_t pick(uint32_t bound)
{
	return (uint32_t)random() % bound;
}

/* Stacks share their outer frames, as those of a program do. */
static void fill(struct fake_target *target, uint32_t sites)
{
	uint32_t codes[CODES];
	uint64_t frames[FRAMES];
	for (int i = 0; i < CODES; i++) {
		char name[64], file[96];
		snprintf(name, sizeof name, "Handler%d.method_%d", i / 20, i);
		snprintf(file, sizeof file,
			 "/usr/lib/python3/dist-packages/package_%d/module_%d.py", i / 200, i / 20);
		codes[i] = fake_area_code(&target->area, name, file, i % 900);
	}
	for (int k = 0; k < FRAMES; k++)
		frames[k] = MA_FRAME(codes[pick(CODES)], pick(200) * 2);
	for (uint32_t i = 0; i < sites; i++) {
		for (uint32_t k = 0; k <= pick(12); k++)
			frames[k] = MA_FRAME(codes[pick(CODES)], pick(200) * 2);
		uint32_t stack = fake_area_stack(&target->area, frames, FRAMES, 0);
		fake_area_site(&target->area, stack, 1 + (enum ma_domain)pick(3), 0, 0);
	}
}

static void allocate(struct ma_session *session, uint32_t sites)
{
	for (uint32_t i = 0; i < 4 * sites; i++) {
		struct ma_heap_sample sample = {.size_bytes = 1 + pick(1U << pick(18)),
						.site = 1 + i % sites,
						.rate = 65536,
						.domain = MA_DOMAIN_MALLOC};
		ma_heap_state_alloc(&session->heap, &sample, i / 100);
		if (pick(3))
			ma_heap_state_free(&session->heap, &sample);
	}
	struct ma_heap_view view = ma_session_view(session);
	for (uint64_t second = 1; second <= SECONDS; second++) {
		struct ma_timeline_point point = {.time_ns = second * 1000000000U};
		struct ma_heap_sample sample = {
			.size_bytes = 1000, .site = 1 + pick(sites), .domain = MA_DOMAIN_MALLOC};
		ma_heap_state_alloc(&session->heap, &sample, 0);
		ma_timeline_add(&session->timeline, &point, &view);
	}
}

static double ms_since(uint64_t before_ns)
{
	return (double)(ma_clock_monotonic_ns() - before_ns) / 1e6;
}

int main(int count, char **arguments)
{
	uint32_t sites = count > 1 ? (uint32_t)atoi(arguments[1]) : 2000;
	struct fake_target target;
	struct ma_session *session;
	struct ma_error error;
	fake_target_start(&target, MA_MODE_SAMPLED, 0);
	fill(&target, sites);
	struct ma_session_request request = {.pid = target.pid};
	if (ma_session_create(&session, &request, dup(target.pidfd), dup(target.area.fd), -1,
			      &error))
		return 1;
	allocate(session, sites);
	int failed = 0;
	for (int round = 0; round < 3 && !failed; round++) {
		struct ma_snapshot_query query = {.quick = true};
		struct ma_snapshot snapshot;
		uint8_t *bytes = NULL;
		size_t size = 0;
		uint64_t before_ns = ma_clock_monotonic_ns();
		failed = ma_snapshot_build(session, &query, &snapshot, &error);
		double build_ms = ms_since(before_ns);
		before_ns = ma_clock_monotonic_ns();
		if (!failed)
			failed = ma_snapshot_pack(snapshot.profile, &bytes, &size, &error);
		printf("%u sites: built in %.1f ms, packed in %.1f ms, %zu KiB\n", sites, build_ms,
		       ms_since(before_ns), size >> 10);
		ma_snapshot_fini(&snapshot);
		free(bytes);
	}
	ma_session_destroy(session);
	fake_target_end(&target);
	return failed != 0;
}
