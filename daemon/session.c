/* SPDX-License-Identifier: MIT */
/* The life of a session; see session.h. */
#include "daemon/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/viewer.h"
#include "daemon/text.h"

enum {
	SECOND_MS = 1000,
	DEFAULT_INTERVAL_BYTES = 64 << 10,
	BUSY_PERMILLE = 250, /* a ring this full: poll as often as we can */
	IDLE_PERMILLE = 15,  /* rings this empty: take more time */
};

static uint64_t now_monotonic_ms(void)
{
	return ma_clock_monotonic_ns() / 1000000;
}

static void copy_text(char *text, size_t room, const char *from)
{
	ma_text_from_bytes(text, room, from ? from : "", from ? strlen(from) : 0);
}

static void note_lines(struct ma_session *session, const char *lines)
{
	while (lines && *lines) {
		size_t length = strcspn(lines, "\n");
		if (length)
			ma_notes_add(&session->notes, session->map.ident.attach_realtime_ns, "%.*s",
				     (int)length, lines);
		lines += length + (lines[length] == '\n');
	}
}

/* The pid that a pidfd stands for, as we see it (pidfd_open(2): fdinfo); -1: its process was
 * collected; 0: not a pidfd. */
static pid_t pid_of(int pidfd)
{
	char path[40], line[256];
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	FILE *info = fopen(path, "re");
	if (!info)
		return 0;
	int pid = 0;
	while (fgets(line, sizeof line, info) && sscanf(line, "Pid: %d", &pid) != 1)
		;
	fclose(info);
	return pid;
}

static bool has_ended(int pidfd)
{
	struct pollfd poll_fd = {.fd = pidfd, .events = POLLIN};
	return poll(&poll_fd, 1, 0) == 1;
}

static int check_pidfd(pid_t pid, int pidfd, struct ma_error *error)
{
	pid_t found = pid_of(pidfd);
	if (found != pid && !(found == -1 && has_ended(pidfd))) {
		int code = ma_error_set(error, MA_ERR_PROTOCOL, 0, "taking over process %d", pid);
		ma_error_answer(error, "the descriptor that came with it is of process %d", found);
		return code;
	}
	if (has_ended(pidfd)) {
		int code = ma_error_set(error, MA_ERR_NO_PROCESS, 0, "taking over process %d", pid);
		ma_error_answer(error, "it has ended");
		return code;
	}
	return 0;
}

/* Milliseconds since attach on our clock; a clock of another time namespace does not count. */
static uint64_t attach_clock_ms(const struct ma_area_ident *ident, uint64_t now_ms)
{
	uint64_t attach_ms = ident->attach_monotonic_ns / 1000000;
	return attach_ms <= now_ms && now_ms - attach_ms < UINT32_MAX ? attach_ms : now_ms;
}

/* The numbers of events that an earlier reader took; they do not come again. */
static uint64_t events_taken(const struct ma_area *area)
{
	uint64_t taken = 0;
	for (int i = 0; i < MA_RINGS; i++)
		taken += __atomic_load_n(&area->rings[i].tail, __ATOMIC_RELAXED);
	return taken;
}

static int start_parts(struct ma_session *session, struct ma_error *error)
{
	const struct ma_area_ident *ident = &session->map.ident;
	bool exact = ident->mode == MA_MODE_EXACT;
	uint64_t taken = events_taken(session->map.area);
	ma_heap_state_init(&session->heap, exact ? MA_SITES - 1 : MA_HEAP_SITE_LIMIT);
	session->heap.peak_elsewhere = exact;
	if (!ma_ingest_init(&session->ingest, taken + 1) ||
	    ma_names_init(&session->names, &session->map.area->tables, ident->python_version) < 0 ||
	    !ma_native_init(&session->native, &session->modules, &session->map.area->tables))
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "beginning a session");
	/* Somebody read these rings before us: only the live set knows what is live. */
	if (taken)
		session->gaps = UINT64_MAX;
	return ma_process_memory_open(&session->process, session->pid, session->pidfd, "", error);
}

static void start_control(struct ma_session *session, const struct ma_session_request *request)
{
	struct ma_control *control = &session->map.area->control;
	uint32_t interval = request->interval_bytes;
	if (interval == 0)
		interval = __atomic_load_n(&control->interval_bytes, __ATOMIC_RELAXED);
	if (interval == 0)
		interval = DEFAULT_INTERVAL_BYTES;
	ma_governor_init(&session->governor, interval, request->fixed_interval,
			 request->budget_ratio, session->map.ident.tsc_khz);
	const struct ma_area_ident *ident = &session->map.ident;
	session->governor.has_windows =
		ident->mode == MA_MODE_SAMPLED && ident->obj_table && !ident->python_frees;
	__atomic_store_n(&control->interval_bytes, session->governor.interval_bytes,
			 __ATOMIC_RELAXED);
	__atomic_store_n(&control->window, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&control->enabled, 1, __ATOMIC_RELAXED);
}

static void describe(struct ma_session *session, const struct ma_session_request *request)
{
	session->pid = request->pid;
	copy_text(session->executable, sizeof session->executable, request->executable);
	copy_text(session->command, sizeof session->command, request->command);
	copy_text(session->python_version, sizeof session->python_version, request->python_version);
	session->uid = request->uid;
	session->hook_running_us = request->hook_running_us;
	session->pause_us = request->pause_us;
	session->keep = request->keep;
}

/* Without unwind tables there are no native stacks, and everything else. */
static void start_unwinding(struct ma_session *session, const struct ma_session_request *request,
			    int unwind_fd)
{
	struct ma_error error;
	const struct ma_unwind_keeper_options options = {
		.worker = request->unwind_worker,
		.pid = session->pid,
		.proc_fd = session->process.proc_fd,
		.modules = &session->modules,
		.notes = &session->notes,
		.ident = &session->map.ident,
	};
	ma_modules_init(&session->modules, session->pid, session->process.proc_fd);
	if (unwind_fd < 0 || !request->unwind_worker)
		return;
	if (ma_unwind_keeper_init(&session->unwind, &options, unwind_fd, &error) < 0)
		ma_notes_add(&session->notes, ma_clock_realtime_ns(),
			     "No native stacks: %s failed (%s).", error.what, error.answer);
}

static void close_unwind(int fd)
{
	if (fd >= 0)
		close(fd);
}

int ma_session_create(struct ma_session **session, const struct ma_session_request *request,
		      int pidfd, int area_fd, int unwind_fd, struct ma_error *error)
{
	struct ma_session *made = calloc(1, sizeof *made);
	int code = check_pidfd(request->pid, pidfd, error);
	if (code == 0 && !made)
		code = ma_error_set(error, MA_ERR_FAILED, ENOMEM, "beginning a session");
	if (code == 0)
		code = ma_area_map_open(&made->map, area_fd, error);
	close(area_fd);
	if (code < 0) {
		close(pidfd);
		close_unwind(unwind_fd);
		free(made);
		return code;
	}
	uint64_t now_ms = now_monotonic_ms();
	made->state = MA_SESSION_TRACKING;
	made->pidfd = pidfd;
	made->attach_monotonic_ms = attach_clock_ms(&made->map.ident, now_ms);
	made->query_monotonic_ms = now_ms;
	made->next_poll_ms = now_ms;
	made->next_second_ms = made->attach_monotonic_ms + SECOND_MS;
	made->poll_interval_ms = MA_SESSION_POLL_MIN_MS;
	describe(made, request);
	note_lines(made, request->notice);
	code = start_parts(made, error);
	if (code < 0) {
		close_unwind(unwind_fd);
		ma_session_destroy(made);
		return code;
	}
	made->process_open = true;
	ma_native_set_servers(&made->native, request->debuginfod_urls);
	start_unwinding(made, request, unwind_fd);
	close_unwind(unwind_fd);
	if (ma_process_memory_read(&made->process, MA_MEMORY_ASK_CGROUP, &made->figures, NULL) == 0)
		made->rss_at_attach_bytes = made->figures.rss_bytes;
	ma_hook_watch_init(&made->watch, made->pid, &made->map.ident);
	ma_slot_watch_look(&made->slots, made->pid, made->process.proc_fd, &made->map.ident,
			   made->map.area->counters.passes);
	ma_area_map_touch(&made->map);
	start_control(made, request);
	ma_session_poll(made, now_ms);
	*session = made;
	return 0;
}

void ma_session_destroy(struct ma_session *session)
{
	if (!session)
		return;
	if (session->map.area && session->state == MA_SESSION_TRACKING)
		__atomic_store_n(&session->map.area->control.enabled, 0, __ATOMIC_RELAXED);
	if (session->pidfd >= 0)
		close(session->pidfd);
	ma_unwind_keeper_fini(&session->unwind);
	if (session->process_open)
		ma_process_memory_close(&session->process);
	ma_viewer_destroy(session->viewer);
	ma_ingest_fini(&session->ingest);
	ma_heap_state_fini(&session->heap);
	ma_region_map_fini(&session->regions);
	ma_settle_fini(&session->settle);
	ma_names_fini(&session->names);
	ma_native_fini(&session->native);
	ma_modules_fini(&session->modules);
	ma_timeline_fini(&session->timeline);
	ma_slot_watch_fini(&session->slots);
	ma_ledger_fini(&session->ledger);
	ma_area_map_close(&session->map);
	free(session);
}

/* The hook goes on while it sees a lease in the future; its clock is ours. */
static void renew(struct ma_session *session, uint64_t now_ms)
{
	struct ma_control *control = &session->map.area->control;
	if (session->renewed_ms && now_ms - session->renewed_ms > MA_SESSION_LEASE_MS)
		ma_notes_add(
			&session->notes, ma_clock_realtime_ns(),
			"The daemon stood still for %llu s; what was allocated after the first "
			"%d s of that was not seen.",
			(unsigned long long)((now_ms - session->renewed_ms) / 1000),
			MA_SESSION_LEASE_MS / 1000);
	session->renewed_ms = now_ms;
	uint64_t lease_ticks = (uint64_t)session->map.ident.tsc_khz * MA_SESSION_LEASE_MS;
	__atomic_store_n(&control->clock_ms, (uint32_t)(now_ms - session->attach_monotonic_ms),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&control->lease_tsc, ma_clock_tsc() + lease_ticks, __ATOMIC_RELAXED);
}

/* Calls that passed through the hook, sampled or not. */
static double operations(const struct ma_session *session, const struct ma_site_view *total)
{
	double calls =
		total->allocated_count + ma_heap_state_freed(&session->heap, MA_DOMAIN_MALLOC);
	if (session->map.ident.python_frees)
		calls += ma_heap_state_freed(&session->heap, MA_DOMAIN_OBJECT) +
			 ma_heap_state_freed(&session->heap, MA_DOMAIN_MEM);
	return calls;
}

/* Those of them that pass by while a window is closed. */
static double windowed_operations(const struct ma_session *session)
{
	return ma_heap_state_made(&session->heap, MA_DOMAIN_OBJECT) +
	       ma_heap_state_made(&session->heap, MA_DOMAIN_MEM);
}

static void govern(struct ma_session *session, uint64_t now_ms)
{
	struct ma_counters counters;
	struct ma_site_view total;
	ma_session_counters(session, &counters);
	ma_heap_state_total(&session->heap, &total);
	struct ma_governor_input input = {
		.now_ms = now_ms,
		.tsc = ma_clock_tsc(),
		.slow_cycles = MA_SLOW_PATH_TIMES * (double)counters.slow_cycles,
		.operations = operations(session, &total),
		.windowed = windowed_operations(session),
		.samples = total.allocated_samples,
		.windowed_samples = session->heap.made_samples[MA_DOMAIN_OBJECT] +
				    session->heap.made_samples[MA_DOMAIN_MEM],
		.ring_permille = session->ring_permille,
		.live_count = total.live_samples,
		.dropped = counters.dropped_allocs + counters.dropped_frees,
	};
	/* The exact mode samples nothing; its cost is all in the slow path. */
	if (session->map.ident.mode == MA_MODE_EXACT) {
		session->governor.fixed = true;
		input.operations = 0;
		input.slow_cycles = (double)counters.slow_cycles;
	}
	session->ring_permille = 0;
	if (ma_governor_tick(&session->governor, &input))
		__atomic_store_n(&session->map.area->control.interval_bytes,
				 session->governor.interval_bytes, __ATOMIC_RELAXED);
}

/* What was seen so far was ingested: a new window begins. */
static void turn_window(struct ma_session *session, uint64_t now_ms)
{
	struct ma_area *area = session->map.area;
	uint32_t clock_ms = (uint32_t)(now_ms - session->attach_monotonic_ms);
	uint64_t seen = __atomic_load_n(&area->counters.window, __ATOMIC_RELAXED);
	uint64_t window =
		ma_windows_next(&session->windows, clock_ms, session->governor.exponent, seen);
	__atomic_store_n(&area->control.window, window, __ATOMIC_RELAXED);
}

static void adapt_polling(struct ma_session *session, int permille)
{
	uint32_t interval = session->poll_interval_ms;
	if (permille >= BUSY_PERMILLE)
		interval = MA_SESSION_POLL_MIN_MS;
	else if (permille >= BUSY_PERMILLE / 4)
		interval /= 2;
	else if (permille < IDLE_PERMILLE)
		interval *= 2;
	if (interval < MA_SESSION_POLL_MIN_MS)
		interval = MA_SESSION_POLL_MIN_MS;
	if (interval > MA_SESSION_POLL_MAX_MS)
		interval = MA_SESSION_POLL_MAX_MS;
	session->poll_interval_ms = interval;
}

uint64_t ma_session_poll(struct ma_session *session, uint64_t now_ms)
{
	if (session->state != MA_SESSION_TRACKING)
		return UINT64_MAX;
	if (now_ms < session->next_poll_ms)
		return session->next_poll_ms;
	renew(session, now_ms);
	int before = session->ring_permille;
	session->ring_permille = 0;
	ma_session_ingest(session, now_ms, false);
	int arena_permille = ma_arena_ahead_poll(&session->arena_ahead, &session->map);
	adapt_polling(session, arena_permille > session->ring_permille ? arena_permille
								       : session->ring_permille);
	ma_native_scan(&session->native);
	if (before > session->ring_permille)
		session->ring_permille = before;
	govern(session, now_ms);
	turn_window(session, now_ms);
	ma_unwind_keeper_poll(&session->unwind, session->map.area, now_ms);
	/* New threads at once: many do not live for a second. */
	ma_threads_refresh(&session->threads, session->map.area, session->process.proc_fd, false);
	if (now_ms >= session->next_second_ms) {
		session->next_second_ms += SECOND_MS;
		/* After a stop of the machine or of ours, seconds are not made up for. */
		if (session->next_second_ms <= now_ms)
			session->next_second_ms = now_ms + SECOND_MS;
		ma_session_second(session, now_ms);
	}
	if (ma_area_map_is_lost(&session->map))
		ma_session_finish(session, MA_SESSION_HOOK_LOST,
				  "the shared memory was cut off by the process");
	uint32_t wait_ms = session->poll_interval_ms;
	if (session->governor.exponent && wait_ms > MA_WINDOW_MS)
		wait_ms = MA_WINDOW_MS;
	session->next_poll_ms = now_ms + wait_ms;
	return session->state == MA_SESSION_TRACKING ? session->next_poll_ms : UINT64_MAX;
}

bool ma_session_is_tracking(struct ma_session *session)
{
	if (!session || session->state != MA_SESSION_TRACKING)
		return false;
	if (has_ended(session->pidfd))
		ma_session_exited(session);
	else
		ma_session_watch_hook(session);
	if (session->state != MA_SESSION_TRACKING)
		return false;
	/* What happened before the question belongs into the answer. */
	ma_session_ingest(session, now_monotonic_ms(), false);
	ma_threads_refresh(&session->threads, session->map.area, session->process.proc_fd, false);
	return true;
}

void ma_session_detach_begin(struct ma_session *session)
{
	if (session->state != MA_SESSION_TRACKING)
		return;
	session->detaching = true;
	__atomic_store_n(&session->map.area->control.enabled, 0, __ATOMIC_RELAXED);
	ma_session_ingest(session, now_monotonic_ms(), false);
}

void ma_session_detach_cancel(struct ma_session *session)
{
	if (session->state != MA_SESSION_TRACKING || !session->detaching)
		return;
	session->detaching = false;
	__atomic_store_n(&session->map.area->control.enabled, 1, __ATOMIC_RELAXED);
	ma_notes_add(&session->notes, ma_clock_realtime_ns(),
		     "A detach was begun and not finished; sampling was off meanwhile.");
}

void ma_session_set_interval(struct ma_session *session, uint32_t interval_bytes)
{
	ma_governor_fix(&session->governor, interval_bytes);
	__atomic_store_n(&session->map.area->control.interval_bytes,
			 session->governor.interval_bytes, __ATOMIC_RELAXED);
}

void ma_session_touch(struct ma_session *session)
{
	session->query_monotonic_ms = now_monotonic_ms();
}

uint64_t ma_session_expires_ns(const struct ma_session *session)
{
	if (session->state == MA_SESSION_TRACKING && session->keep)
		return 0;
	if (session->state != MA_SESSION_TRACKING)
		return session->end.time_ns + MA_SESSION_EXPIRY_S * UINT64_C(1000000000);
	uint64_t clock_ms = session->query_monotonic_ms - session->attach_monotonic_ms;
	return ma_session_time_ns(session, clock_ms + MA_SESSION_EXPIRY_S * UINT64_C(1000));
}

bool ma_session_is_stale(const struct ma_session *session, uint64_t now_ms)
{
	uint64_t ended_ms = session->attach_monotonic_ms + session->end.clock_ms;
	return session->state != MA_SESSION_TRACKING && now_ms > ended_ms &&
	       now_ms - ended_ms >= MA_SESSION_EXPIRY_S * UINT64_C(1000);
}
