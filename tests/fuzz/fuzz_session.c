/* SPDX-License-Identifier: MIT */
/*
 * A session on the shared area of a hostile target: events are taken in, the session ends, a
 * snapshot is made of it, which our own reader must accept. The input is a head and then the bytes
 * of each part of the area, one after the other.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/session.h"
#include "daemon/snapshot_build.h"
#include "fuzz.h"
#include "proto/snapshot.h"

enum { MOST_BYTES = 8192, RINGS_USED = 2 };

struct head {
	uint64_t stack_used, code_used;
	uint32_t site_count;
	uint32_t ring_head[RINGS_USED];
	uint32_t max_sites;
	uint16_t threads_bytes, sites_bytes, stacks_bytes, codes_bytes, live_bytes;
	uint16_t exact; /* odd: exact mode */
	uint32_t held_age_ms;
	uint32_t python_version;
};

static struct ma_area *area;
static struct head head;

/* The next bytes of the input go to the start of a part; what an earlier input left there goes. */
static void fill(void *to, size_t wanted, const uint8_t **data, size_t *size)
{
	size_t bytes = wanted < MOST_BYTES ? wanted : MOST_BYTES;
	if (bytes > *size)
		bytes = *size;
	memset(to, 0, MOST_BYTES);
	memcpy(to, *data, bytes);
	*data += bytes;
	*size -= bytes;
}

static void fill_area(const uint8_t *data, size_t size)
{
	struct ma_tables *tables = &area->tables;
	memset(&area->counters, 0, sizeof area->counters);
	memset(area->threads, 0, sizeof area->threads);
	size_t threads_bytes = head.threads_bytes % (sizeof area->threads + 1);
	threads_bytes = threads_bytes < size ? threads_bytes : size;
	memcpy(area->threads, data, threads_bytes);
	data += threads_bytes;
	size -= threads_bytes;
	fill(tables->sites, head.sites_bytes, &data, &size);
	fill(tables->stack_log, head.stacks_bytes, &data, &size);
	fill(tables->code_log, head.codes_bytes, &data, &size);
	fill(area->live.address, head.live_bytes, &data, &size);
	fill(area->live.entry, head.live_bytes, &data, &size);
	fill(area->exact.sites, head.exact, &data, &size);
	for (int i = 0; i < RINGS_USED; i++) {
		fill(area->rings[i].events, size / (size_t)(RINGS_USED - i), &data, &size);
		area->rings[i].tail = 0;
		area->rings[i].head = head.ring_head[i] % (MOST_BYTES / sizeof(struct ma_event));
	}
	tables->stack_used = head.stack_used;
	tables->code_used = head.code_used;
	tables->site_count = head.site_count;
}

static void begin(struct ma_session *session)
{
	bool exact = head.exact & 1;
	memset(session, 0, sizeof *session);
	session->state = MA_SESSION_TRACKING;
	session->pid = 1;
	session->pidfd = -1;
	session->map.area = area;
	session->map.bytes = exact ? sizeof *area : MA_AREA_SAMPLED_BYTES;
	session->map.ident.mode = exact ? MA_MODE_EXACT : MA_MODE_SAMPLED;
	session->map.ident.python_version = head.python_version;
	session->heap.peak_elsewhere = exact;
	ma_heap_state_init(&session->heap, 1000);
	MUST(ma_ingest_init(&session->ingest, 1));
	MUST(ma_names_init(&session->names, &area->tables, head.python_version) == 0);
	/* No module is known, and nobody looks names up. */
	MUST(ma_native_init(&session->native, &session->modules, &area->tables));
	ma_governor_init(&session->governor, 65536, true, 0, 2000000);
	for (int i = 1; i < MA_THREAD_SLOTS; i++)
		session->threads.slots[i].tid = area->threads[i].tid;
}

/* Not ma_session_destroy: the area is ours and stays. */
static void end(struct ma_session *session)
{
	ma_ingest_fini(&session->ingest);
	ma_heap_state_fini(&session->heap);
	ma_region_map_fini(&session->regions);
	ma_settle_fini(&session->settle);
	ma_names_fini(&session->names);
	ma_native_fini(&session->native);
	ma_timeline_fini(&session->timeline);
	ma_ledger_fini(&session->ledger);
}

static void make_snapshot(struct ma_session *session)
{
	struct ma_snapshot_query query = {.max_sites = head.max_sites,
					  .held_age_ms = head.held_age_ms};
	struct ma_snapshot snapshot;
	struct ma_snapshot_state state;
	Memattach__Profile *profile;
	uint8_t *bytes;
	size_t size;
	MUST(ma_snapshot_build(session, &query, &snapshot, NULL) == 0);
	MUST(ma_snapshot_pack(snapshot.profile, &bytes, &size, NULL) == 0);
	ma_snapshot_fini(&snapshot);
	MUST(ma_snapshot_parse(bytes, size, &profile, &state, NULL) == 0);
	MUST(state.heap_trusted);
	memattach__profile__free_unpacked(profile, NULL);
	free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ma_session session;
	if (!area) {
		area = mmap(NULL, sizeof *area, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		MUST(area != MAP_FAILED);
	}
	if (size < sizeof head)
		return 0;
	memcpy(&head, data, sizeof head);
	fill_area(data + sizeof head, size - sizeof head);
	begin(&session);
	ma_session_ingest(&session, 1000, false);
	ma_session_ingest(&session, 2000, false);
	ma_session_finish(&session, MA_SESSION_UNKNOWN, "ended");
	make_snapshot(&session);
	end(&session);
	return 0;
}
