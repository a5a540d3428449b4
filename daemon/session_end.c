/* SPDX-License-Identifier: MIT */
/*
 * The end of tracking: take in what is left in shared memory, remember what may be asked later,
 * give everything else back.
 */
#include "daemon/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/live_scan.h"
#include "daemon/process_end.h"

static void remember(void *context, uint64_t address, const struct ma_heap_sample *sample)
{
	(void)address;
	struct ma_session *session = context;
	ma_ledger_add(&session->ledger, sample);
	if (session->map.ident.mode != MA_MODE_EXACT)
		return;
	struct ma_size_class *class =
		&session->exact_classes[ma_heap_size_class(sample->size_bytes)];
	class->live_bytes += sample->size_bytes * MA_BYTES_UNITS;
	class->live_count += MA_COUNT_UNITS;
}

static void fill_ledger(struct ma_session *session)
{
	const struct ma_area_map *map = &session->map;
	ma_ledger_begin(&session->ledger, (uint32_t)ma_session_clock_ms(session));
	if (map->ident.mode == MA_MODE_EXACT)
		ma_live_scan_exact(map->area, map->bytes - sizeof *map->area, remember, session);
	else
		ma_live_scan_sampled(map->area, remember, session);
	ma_ledger_end(&session->ledger);
}

/* Nobody needs these any more. The ingest keeps its counts, which are small. */
static void give_back(struct ma_session *session, bool hook_gone)
{
	struct ma_ingest counts = session->ingest;
	ma_ingest_fini(&session->ingest);
	counts.window = NULL;
	counts.stages = NULL;
	session->ingest = counts;
	ma_settle_fini(&session->settle);
	/* The last moment at which the process may still have its files. */
	ma_native_finish(&session->native);
	ma_unwind_keeper_fini(&session->unwind);
	session->modules.proc_fd = -1;
	if (session->process_open)
		ma_process_memory_close(&session->process);
	session->process_open = false;
	if (session->pidfd >= 0)
		close(session->pidfd);
	session->pidfd = -1;
	if (hook_gone)
		ma_area_map_shrink(&session->map);
}

void ma_session_finish(struct ma_session *session, enum ma_session_how how, const char *sentence,
		       ...)
{
	if (session->state != MA_SESSION_TRACKING)
		return;
	struct ma_control *control = &session->map.area->control;
	__atomic_store_n(&control->enabled, 0, __ATOMIC_RELAXED);
	ma_session_ingest(session, ma_clock_monotonic_ns() / 1000000, true);
	session->end.how = how;
	session->end.clock_ms = ma_session_clock_ms(session); /* of now, while time_ns is 0 */
	session->end.time_ns = ma_clock_realtime_ns();
	va_list arguments;
	va_start(arguments, sentence);
	vsnprintf(session->end.sentence, sizeof session->end.sentence, sentence, arguments);
	va_end(arguments);
	if (how == MA_SESSION_HOOK_LOST)
		ma_notes_add(&session->notes, session->end.time_ns, "%s", session->end.sentence);
	fill_ledger(session);
	session->state = how == MA_SESSION_HOOK_LOST ? MA_SESSION_LOST : MA_SESSION_ENDED;
	give_back(session, how != MA_SESSION_HOOK_LOST);
}

void ma_session_exited(struct ma_session *session)
{
	if (session->state != MA_SESSION_TRACKING)
		return;
	struct ma_process_end end;
	ma_process_end_read(session->pidfd, &session->process, &end);
	/* A pidfd that polls readable is of a process without threads: then it has ended. */
	enum ma_session_how how =
		end.how == MA_END_RUNNING ? MA_SESSION_UNKNOWN : (enum ma_session_how)end.how;
	session->end.code = end.code;
	session->end.signal = end.signal;
	session->end.oom_killed = end.oom_killed;
	session->end.core_dumped = end.core_dumped;
	ma_session_finish(session, how, "%s",
			  end.how == MA_END_RUNNING ? "ended, how is not known" : end.sentence);
}
