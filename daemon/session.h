/* SPDX-License-Identifier: MIT */
/*
 * One target: its shared memory, what was learnt from it, and how it ended. A session tracks from
 * the moment the CLI hands over an attached process until that process ends, is detached, or the
 * hook is lost; after that it keeps the last state, to be asked about until it expires.
 *
 * Everything here belongs to the daemon loop. session.c is the life of it, session_events.c takes
 * events into the heap state, session_second.c does what is due once a second, session_end.c
 * settles everything at the end, session_query.c answers.
 */
#ifndef MA_DAEMON_SESSION_H
#define MA_DAEMON_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/area_map.h"
#include "daemon/arena_ahead.h"
#include "daemon/governor.h"
#include "daemon/heap_state.h"
#include "daemon/heap_view.h"
#include "daemon/hook_watch.h"
#include "daemon/ingest.h"
#include "daemon/ledger.h"
#include "daemon/modules.h"
#include "daemon/names.h"
#include "daemon/native.h"
#include "daemon/notes.h"
#include "daemon/process_memory.h"
#include "daemon/region_map.h"
#include "daemon/ring_claims.h"
#include "daemon/settle.h"
#include "daemon/slot_watch.h"
#include "daemon/threads.h"
#include "daemon/timeline.h"
#include "daemon/unwind_keeper.h"
#include "daemon/windows.h"
#include "proto/error.h"

enum {
	MA_SESSION_LEASE_MS = 30000,
	MA_SESSION_POLL_MIN_MS = 1,
	MA_SESSION_POLL_MAX_MS = 50,
	MA_SESSION_EXPIRY_S = 24 * 3600, /* without a query, and of what an ended one keeps */
};

/* Values as in memattach.Session.State (proto/control.proto). */
enum ma_session_state {
	MA_SESSION_TRACKING = 1,
	MA_SESSION_ENDED = 2,
	MA_SESSION_LOST = 3,
};

/* Values as in memattach.End.How (proto/profile.proto). */
enum ma_session_how {
	MA_SESSION_UNKNOWN = 0,
	MA_SESSION_EXITED = 1,
	MA_SESSION_SIGNALED = 2,
	MA_SESSION_DETACHED = 3,
	MA_SESSION_EXECED = 4,
	MA_SESSION_HOOK_LOST = 5,
};

struct ma_session_end {
	enum ma_session_how how;
	uint64_t time_ns;  /* CLOCK_REALTIME */
	uint64_t clock_ms; /* since attach */
	int code;
	int signal;
	bool oom_killed;
	bool core_dumped;
	char sentence[200];
};

/* What the CLI says about the process it attached to. Strings are borrowed. */
struct ma_session_request {
	pid_t pid;
	const char *executable;
	const char *command;
	const char *python_version;
	const char *notice; /* lines */
	uint32_t hook_running_us;
	uint32_t pause_us;
	uint32_t interval_bytes;
	uint32_t uid;
	bool fixed_interval;
	bool keep;
	double budget_ratio;
	const char *debuginfod_urls; /* servers for debug files; NULL or "": none are asked */
	struct ma_unwind_worker *unwind_worker; /* outlives the session; NULL: no native stacks */
};

struct ma_viewer; /* daemon/viewer.h */

struct ma_session {
	pid_t pid;
	int pidfd; /* -1 once it ended */
	char executable[512];
	char command[1024];
	char python_version[32];
	uint32_t uid;
	uint32_t hook_running_us;
	uint32_t pause_us;
	bool keep;
	bool detaching; /* a detach is under way: sampling is off */
	bool end_logged;
	enum ma_session_state state;
	struct ma_session_end end;
	struct ma_notes notes;

	struct ma_area_map map;
	struct ma_ingest ingest;
	struct ma_heap_state heap;
	struct ma_region_map regions;
	struct ma_settle settle;
	struct ma_governor governor;
	struct ma_windows windows;
	struct ma_names names;
	struct ma_native native;
	struct ma_threads threads;
	struct ma_timeline timeline;
	struct ma_hook_watch watch;
	struct ma_slot_watch slots;
	struct ma_ring_claims claims;
	struct ma_modules modules; /* that native frames are in */
	struct ma_unwind_keeper unwind;
	struct ma_ledger ledger;                                  /* of the end */
	struct ma_size_class exact_classes[MA_HEAP_SIZE_CLASSES]; /* of the end, exact mode */

	struct ma_process_memory process;
	bool process_open;
	struct ma_memory_figures figures; /* of the last second */
	uint64_t rss_at_attach_bytes;
	uint64_t live_units_max; /* within this second, in 1/MA_BYTES_UNITS bytes */

	uint64_t attach_monotonic_ms; /* on our clock */
	uint64_t query_monotonic_ms;  /* last asked */
	uint64_t renewed_ms;          /* when the hook's lease was last renewed; 0 = never */
	uint64_t next_poll_ms;        /* monotonic */
	uint64_t next_second_ms;
	uint64_t next_rebuild_ms;
	uint32_t poll_interval_ms;
	struct ma_arena_ahead arena_ahead;
	int ring_permille; /* largest since the governor last looked */
	uint64_t seconds;
	uint64_t dropped_frees; /* as of the last rebuild */
	uint64_t dropped_maps;  /* as of the last look at the maps */
	uint64_t gaps;
	uint64_t unbalanced;
	uint64_t exact_epoch;
	struct ma_viewer *viewer; /* what viewers need, while there are any; NULL */
};

/*
 * Begins a session. pidfd, area_fd and unwind_fd (-1: none) are taken, also on failure. Errors:
 * MA_ERR_PROTOCOL (the area is none, or is not this process's), MA_ERR_NO_PROCESS, MA_ERR_FAILED.
 * *session is returned-owned.
 */
int ma_session_create(struct ma_session **session, const struct ma_session_request *request,
		      int pidfd, int area_fd, int unwind_fd, struct ma_error *error);

/* Stops tracking if it does (the target goes on without us) and frees everything. NULL is fine. */
void ma_session_destroy(struct ma_session *session);

/* Does what is due at now_ms (monotonic). Returns when it wants to be called next. */
uint64_t ma_session_poll(struct ma_session *session, uint64_t now_ms);

/* The pidfd polled readable. */
void ma_session_exited(struct ma_session *session);

/* Does it still track, at this very moment? Looks whether the process ended or the hook is gone,
 * and if so ends the session. NULL: no. */
bool ma_session_is_tracking(struct ma_session *session);

/* A detach begins: sampling off, everything taken in. cancel: it did not happen, go on. */
void ma_session_detach_begin(struct ma_session *session);
void ma_session_detach_cancel(struct ma_session *session);

/* From now on the mean sampling interval is this, and is not steered. */
void ma_session_set_interval(struct ma_session *session, uint32_t interval_bytes);

/* Somebody asked about it: it is wanted for another 24 hours. */
void ma_session_touch(struct ma_session *session);

/* When it will be given up, CLOCK_REALTIME ns; 0 = never. */
uint64_t ma_session_expires_ns(const struct ma_session *session);

/* Has an ended session been kept long enough? */
bool ma_session_is_stale(const struct ma_session *session, uint64_t now_ms);

/* session_events.c: takes in what the rings hold; flush: nothing more will come. */
void ma_session_ingest(struct ma_session *session, uint64_t now_ms, bool flush);

/* session_second.c: once a second, while tracking. */
void ma_session_second(struct ma_session *session, uint64_t now_ms);

/* Looks whether the hook is still in place; ends the session when it is not. */
void ma_session_watch_hook(struct ma_session *session);

/* session_end.c: the end of tracking, for any reason. sentence is printf-like. */
void ma_session_finish(struct ma_session *session, enum ma_session_how how, const char *sentence,
		       ...) __attribute__((format(printf, 3, 4)));

/* session_query.c */

/* Milliseconds since attach, of now or of the end. */
uint64_t ma_session_clock_ms(const struct ma_session *session);

/* Attach time plus clock_ms, CLOCK_REALTIME ns. */
uint64_t ma_session_time_ns(const struct ma_session *session, uint64_t clock_ms);

struct ma_heap_view ma_session_view(const struct ma_session *session);

/* What is held: live, and allocated at least age_ms ago. */
struct ma_session_held {
	struct ma_heap_state heap; /* live_* of each site are what it holds */
	uint64_t latest_birth_ms;
	/* live by size in exact mode, for which the heap state has none */
	struct ma_size_class exact_classes[MA_HEAP_SIZE_CLASSES];
};

/* Fills *held; give it back with ma_session_held_fini. */
void ma_session_held(const struct ma_session *session, uint64_t age_ms,
		     struct ma_session_held *held);
void ma_session_held_fini(struct ma_session_held *held);

/* Bytes a second, over the last seconds of the timeline. */
double ma_session_allocation_rate(const struct ma_session *session);
double ma_session_growth_rate(const struct ma_session *session);

/* Cost of one core, or negative while not known. */
double ma_session_cost(const struct ma_session *session);

/* The hook's counters, copied. */
void ma_session_counters(const struct ma_session *session, struct ma_counters *counters);

#endif
