/* SPDX-License-Identifier: MIT */
/* Attach, watch, detach: the course of summary, attach and dump. See tracking.h. */
#include "cli/tracking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/alloc.h"
#include "cli/daemon_start.h"
#include "cli/debuginfod.h"
#include "cli/errors.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/process_tree.h"
#include "cli/progress.h"
#include "cli/terminal.h"
#include "proto/area.h"

enum {
	WATCH_STEP_MS = 200,
	NAMES_MS = 30000,    /* the longest wait for names; what is not there then has none */
	SERVERS_MS = 120000, /* the same where they may come from servers */
	NAMES_BAR_MS = 500,
	NAMES_STEP_MS = 50,
};

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

const Memattach__Session *ma_tracking_session(const Memattach__Reply *reply, pid_t pid)
{
	const Memattach__Session *best = NULL;
	for (size_t i = 0; i < reply->sessions->n_session; i++) {
		const Memattach__Session *session = reply->sessions->session[i];
		if (session->pid != pid)
			continue;
		if (session->state == MEMATTACH__SESSION__STATE__TRACKING)
			return session;
		if (!best || session->attach_time_nanos > best->attach_time_nanos)
			best = session;
	}
	return best;
}

void ma_tracking_fail(struct ma_tracking *tracking, struct ma_target *target,
		      const struct ma_error *error)
{
	target->error = *error;
	if (target->error.code >= 0)
		target->error.code = MA_ERR_FAILED;
	tracking->exit_code = ma_errors_first(tracking->exit_code, ma_errors_print(&target->error));
}

static void notice_served(const struct ma_tracking *tracking, const Memattach__Session *session)
{
	const struct ma_options *options = tracking->options;
	/* Whoever dumps again and again knows. */
	if (options->quiet || (options->command->id == MA_COMMAND_DUMP && !options->verbose))
		return;
	ma_output_notice("%d is attached already, since %s: its data is kept", session->pid,
			 ma_format_clock(session->attach_time_nanos, ma_format_now_ns()).text);
	if (options->sample_given && session->mode != options->sample.mode)
		ma_output_notice("%d: it is tracked %s; to change that, `memattach detach %d` "
				 "and attach anew",
				 session->pid,
				 session->mode == MA_MODE_EXACT     ? "exactly"
				 : session->mode == MA_MODE_CLASSES ? "by size class"
								    : "by sampling",
				 session->pid);
	if (options->debuginfod)
		ma_output_notice("%d: --debuginfod is for the attach; to have it, `memattach "
				 "detach %d` and attach anew",
				 session->pid, session->pid);
}

/* What was asked for and can be changed while attached. */
static void configure_served(struct ma_tracking *tracking, const Memattach__Session *session)
{
	const struct ma_options *options = tracking->options;
	Memattach__Configure configure = MEMATTACH__CONFIGURE__INIT;
	struct ma_error error;
	configure.pid = session->pid;
	configure.keep = options->keep || session->keep;
	if (options->sample.fixed && session->mode == MA_MODE_SAMPLED)
		configure.interval_bytes = options->sample.interval_bytes;
	if (configure.keep == session->keep && !configure.interval_bytes)
		return;
	if (ma_client_configure(&tracking->client, &configure, &error))
		ma_errors_print(&error);
}

static void accept_served(struct ma_tracking *tracking, struct ma_target *target)
{
	struct ma_error error;
	Memattach__Reply *reply = NULL;
	if (ma_client_sessions(&tracking->client, target->pid, &reply, &error)) {
		ma_tracking_fail(tracking, target, &error);
		return;
	}
	const Memattach__Session *session = ma_tracking_session(reply, target->pid);
	if (session) {
		notice_served(tracking, session);
		configure_served(tracking, session);
	}
	ma_client_free_reply(reply);
}

/* Tells the daemon of a target that ma_attach has attached. On failure nobody would serve the hook,
 * so it is taken out again. */
static int hand_over(struct ma_tracking *tracking, struct ma_target *target,
		     const struct ma_attach_result *result, struct ma_error *error)
{
	const struct ma_options *options = tracking->options;
	const struct ma_process *process = &result->process;
	bool exact = options->sample.mode == MA_MODE_EXACT;
	Memattach__Attached attached = MEMATTACH__ATTACHED__INIT;
	attached.pid = target->pid;
	attached.executable = (char *)process->exe;
	attached.command = (char *)process->command;
	attached.python_version = (char *)process->python_release;
	attached.hook_running_us = result->hook_running_us;
	attached.pause_us = result->pause_us;
	attached.fixed_interval = exact || options->sample.fixed;
	attached.budget_ratio = attached.fixed_interval ? 0 : options->overhead_ratio;
	attached.keep = options->keep;
	attached.notice = (char *)result->notice;
	attached.interval_bytes = exact ? 0 : options->sample.interval_bytes;
	attached.uid = process->uid;
	if (options->debuginfod)
		attached.debuginfod_urls = getenv(MA_DEBUGINFOD_SERVERS);
	int code = ma_client_attached(&tracking->client, &attached, result->pidfd, result->area_fd,
				      result->unwind_fd, error);
	if (code) {
		struct ma_detach_result removed;
		struct ma_error detach_error;
		if (ma_detach(target->pid, &removed, &detach_error))
			ma_errors_print(&detach_error);
	}
	return code;
}

static void notice_attached(const struct ma_tracking *tracking, const struct ma_target *target,
			    const struct ma_attach_result *result)
{
	const struct ma_options *options = tracking->options;
	if (options->quiet)
		return;
	if (result->took_over)
		ma_output_notice(options->force ? "%d: took over; what another daemon knew stays "
						  "with that one, as the last state"
						: "%d: took over from a daemon that is gone; what "
						  "it knew is lost",
				 (int)target->pid);
	ma_output_notice_lines(target->pid, result->notice);
	if (options->verbose)
		ma_output_notice("%d: hook running after %s, longest pause %s, %u slots patched, "
				 "%u unsafe points passed over",
				 (int)target->pid,
				 ma_format_duration_us(result->hook_running_us).text,
				 ma_format_duration_us(result->pause_us).text,
				 result->slots_patched, result->unsafe_points);
}

/* A process that ends under our hands makes one or the other step fail: the end is the reason. */
static void note_if_ended(pid_t pid, struct ma_error *error)
{
	struct ma_process_entry entry;
	if (error->code == MA_ERR_NO_PROCESS ||
	    (ma_process_entry_read(pid, &entry) == 0 && entry.state != 'Z' && entry.state != 'X'))
		return;
	ma_error_set(error, MA_ERR_NO_PROCESS, 0, "attaching to %d", (int)pid);
	ma_error_answer(error, "the process ended meanwhile");
}

static void attach(struct ma_tracking *tracking, struct ma_target *target)
{
	const struct ma_options *options = tracking->options;
	struct ma_error error = {0};
	enum ma_grant grant;
	if (ma_client_begin_attach(&tracking->client, target->pid, &grant, &error)) {
		ma_tracking_fail(tracking, target, &error);
		return;
	}
	if (grant == MA_GRANT_SERVED) {
		accept_served(tracking, target);
		return;
	}
	const struct ma_attach_options attach_options = {
		.mode = options->sample.mode,
		.interval_bytes = options->sample.interval_bytes,
		.size_rates = options->sample.size_rates,
		.size_rate_count = options->sample.size_rate_count,
		.native = options->native ||
			  (options->sample.mode != MA_MODE_EXACT && !options->no_native),
		.force = options->force,
		.trust_seccomp = options->trust_seccomp,
	};
	struct ma_attach_result result = {.pidfd = -1, .area_fd = -1, .unwind_fd = -1};
	int code = ma_attach(target->pid, &attach_options, &result, &error);
	if (code) {
		struct ma_error ignored;
		note_if_ended(target->pid, &error);
		ma_client_cancel_attach(&tracking->client, target->pid, &ignored);
		ma_tracking_fail(tracking, target, &error);
		return;
	}
	code = hand_over(tracking, target, &result, &error);
	close(result.pidfd);
	close(result.area_fd);
	if (result.unwind_fd >= 0)
		close(result.unwind_fd);
	if (code) {
		ma_tracking_fail(tracking, target, &error);
		return;
	}
	target->attached_now = true;
	target->process = result.process;
	notice_attached(tracking, target, &result);
}

/* Was the process there when the session began, or did it get the PID of one that ended since? */
static bool is_of_session(const struct ma_process *process, const Memattach__Session *session)
{
	return ma_format_now_ns() - process->uptime_ms * 1000000 < session->attach_time_nanos;
}

/*
 * A process that cannot be attached to may still be known: it ended, or changed since. And "what is
 * known" (--wait 0) of a process that was detached from is how it was then.
 */
static void look_for_sessions(struct ma_tracking *tracking)
{
	for (size_t i = 0; i < tracking->targets.count; i++) {
		struct ma_target *target = &tracking->targets.list[i];
		struct ma_error ignored;
		Memattach__Reply *reply = NULL;
		if ((!target->error.code && tracking->options->wait_ms) ||
		    ma_client_sessions(&tracking->client, target->pid, &reply, &ignored))
			continue;
		const Memattach__Session *session = ma_tracking_session(reply, target->pid);
		if (session &&
		    (target->error.code || (session->state == MEMATTACH__SESSION__STATE__ENDED &&
					    is_of_session(&target->process, session)))) {
			target->only_session = true;
			target->error = (struct ma_error){0};
		}
		ma_client_free_reply(reply);
	}
}

static size_t count_to_attach(const struct ma_targets *targets, pid_t *pids)
{
	size_t count = 0;
	for (size_t i = 0; i < targets->count; i++)
		if (!targets->list[i].error.code && !targets->list[i].only_session)
			pids[count++] = targets->list[i].pid;
	return count;
}

void ma_tracking_begin(struct ma_tracking *tracking, const struct ma_options *options)
{
	struct ma_error error = {0};
	*tracking = (struct ma_tracking){.options = options, .client = {.fd = -1}};
	ma_interrupt_init();
	ma_targets_resolve(&tracking->targets, options->pids, options->pid_count,
			   options->children);
	struct ma_targets *targets = &tracking->targets;
	/* A last state answers every question but "attach". */
	if (ma_client_connect(&tracking->client, &error) == 0 &&
	    options->command->id != MA_COMMAND_ATTACH)
		look_for_sessions(tracking);
	pid_t *pids = ma_alloc(targets->count, sizeof *pids);
	size_t count = count_to_attach(targets, pids);
	int code = 0;
	if (count && ma_client_is_gone(&tracking->client))
		code = ma_daemon_open(&tracking->client, pids, count, &error);
	free(pids);
	for (size_t i = 0; i < targets->count; i++) {
		struct ma_target *target = &targets->list[i];
		struct ma_error own = target->error;
		if (own.code)
			ma_tracking_fail(tracking, target, &own);
		else if (!code && !target->only_session)
			attach(tracking, target);
		else if (code)
			target->error = error;
	}
	if (code)
		tracking->exit_code = ma_errors_first(tracking->exit_code, ma_errors_print(&error));
}

/* What one look at the daemon's sessions says about the targets. */
struct watch {
	uint64_t youngest_attach_ns; /* of the targets that are still tracked, 0 = none is */
	double live_bytes;           /* of all of them */
};

static int look(struct ma_tracking *tracking, struct watch *watch, struct ma_error *error)
{
	Memattach__Reply *reply = NULL;
	int code = ma_client_sessions(&tracking->client, 0, &reply, error);
	if (code)
		return code;
	*watch = (struct watch){0};
	for (size_t i = 0; i < tracking->targets.count; i++) {
		const struct ma_target *target = &tracking->targets.list[i];
		const Memattach__Session *session = ma_tracking_session(reply, target->pid);
		if (target->error.code || !session ||
		    session->state != MEMATTACH__SESSION__STATE__TRACKING)
			continue;
		if (session->attach_time_nanos > watch->youngest_attach_ns)
			watch->youngest_attach_ns = session->attach_time_nanos;
		watch->live_bytes += session->live_bytes;
	}
	ma_client_free_reply(reply);
	return 0;
}

static void fail_all(struct ma_tracking *tracking, const struct ma_error *cause)
{
	for (size_t i = 0; i < tracking->targets.count; i++) {
		struct ma_target *target = &tracking->targets.list[i];
		struct ma_error error = *cause;
		if (target->error.code)
			continue;
		snprintf(error.what, sizeof error.what, "watching %d", (int)target->pid);
		ma_tracking_fail(tracking, target, &error);
	}
}

void ma_tracking_watch(struct ma_tracking *tracking, uint64_t wait_ms, const char *label)
{
	struct ma_error error = {0};
	struct watch watch;
	struct ma_progress progress;
	uint64_t start_ms = monotonic_ms(), watched_ms = 0;
	bool begun = false, visible = label && isatty(STDERR_FILENO) && !tracking->options->quiet;
	if (!wait_ms || ma_client_is_gone(&tracking->client))
		return;
	while (!ma_interrupt_seen()) {
		if (look(tracking, &watch, &error)) {
			fail_all(tracking, &error);
			break;
		}
		if (!watch.youngest_attach_ns)
			break;
		if (!begun) {
			/* The wall clock may be set while we wait: ask it only once. */
			uint64_t now_ns = ma_format_now_ns();
			watched_ms = now_ns > watch.youngest_attach_ns
					     ? (now_ns - watch.youngest_attach_ns) / 1000000
					     : 0;
			ma_progress_begin(&progress, visible && watched_ms + 1000 < wait_ms, label,
					  wait_ms);
			begun = true;
		}
		uint64_t done_ms = watched_ms + monotonic_ms() - start_ms;
		if (done_ms >= wait_ms)
			break;
		char note[64];
		snprintf(note, sizeof note, "live %s", ma_format_size(watch.live_bytes).text);
		ma_progress_update(&progress, done_ms, note);
		uint64_t left_ms = wait_ms - done_ms;
		ma_interrupt_sleep_ms(left_ms < WATCH_STEP_MS ? left_ms : WATCH_STEP_MS);
	}
	if (begun)
		ma_progress_end(&progress);
}

/* How many names the daemon still looks up. */
static int count_pending(struct ma_tracking *tracking, uint32_t *pending, struct ma_error *error)
{
	Memattach__Reply *reply = NULL;
	int code = ma_client_sessions(&tracking->client, 0, &reply, error);
	*pending = 0;
	if (code)
		return code;
	for (size_t i = 0; i < tracking->targets.count; i++) {
		const struct ma_target *target = &tracking->targets.list[i];
		const Memattach__Session *session = ma_tracking_session(reply, target->pid);
		if (!target->error.code && session && session->names_pending > *pending)
			*pending = session->names_pending;
	}
	ma_client_free_reply(reply);
	return 0;
}

void ma_tracking_await_names(struct ma_tracking *tracking)
{
	struct ma_error ignored;
	struct ma_progress progress;
	uint64_t start_ms = monotonic_ms(), done_ms = 0;
	uint64_t longest_ms = tracking->options->debuginfod ? SERVERS_MS : NAMES_MS;
	uint32_t pending;
	if (tracking->options->no_native || ma_client_is_gone(&tracking->client))
		return;
	ma_progress_begin(&progress, isatty(STDERR_FILENO) && !tracking->options->quiet,
			  "reading names", longest_ms);
	while (!ma_interrupt_seen() && done_ms < longest_ms &&
	       count_pending(tracking, &pending, &ignored) == 0 && pending) {
		char note[64];
		snprintf(note, sizeof note, "%u native functions to go", pending);
		/* What takes no time needs no bar. */
		if (done_ms >= NAMES_BAR_MS)
			ma_progress_update(&progress, done_ms, note);
		ma_interrupt_sleep_ms(NAMES_STEP_MS);
		done_ms = monotonic_ms() - start_ms;
	}
	ma_progress_end(&progress);
}

bool ma_tracking_ends_now(const struct ma_tracking *tracking)
{
	return tracking->options->once || tracking->options->duration_ms ||
	       tracking->client.child != 0;
}

int ma_tracking_detach(struct ma_client *client, pid_t pid, struct ma_detach_result *result,
		       struct ma_error *error)
{
	enum ma_grant grant = MA_GRANT_NOT_SERVED;
	if (!ma_client_is_gone(client)) {
		int code = ma_client_begin_detach(client, pid, &grant, error);
		/* A daemon that goes away now is no reason to leave the hook in. */
		if (code && !ma_client_is_gone(client))
			return code;
	}
	int code = ma_detach(pid, result, error);
	if (ma_client_is_gone(client))
		return code;
	/* The lock goes back either way; a process that is gone has no hook any more. */
	struct ma_error ignored;
	if (!code || code == MA_ERR_NO_PROCESS)
		ma_client_detached(client, pid, &ignored);
	else
		ma_client_close(client);
	return code;
}

static void detach_all(struct ma_tracking *tracking)
{
	for (size_t i = 0; i < tracking->targets.count; i++) {
		struct ma_target *target = &tracking->targets.list[i];
		struct ma_detach_result result;
		struct ma_error error = {0};
		/* What was attached before us is somebody's, and stays. */
		if (!target->attached_now)
			continue;
		int code = ma_tracking_detach(&tracking->client, target->pid, &result, &error);
		if (code == MA_ERR_NO_PROCESS)
			continue;
		if (code) {
			ma_tracking_fail(tracking, target, &error);
			/* Closed, to give the lock back; the next one needs a connection. */
			ma_client_connect(&tracking->client, NULL);
		} else if (!tracking->options->quiet) {
			ma_output_notice("detached from %d", (int)target->pid);
			ma_output_notice_lines(target->pid, result.notice);
		}
	}
}

int ma_tracking_end(struct ma_tracking *tracking)
{
	if (tracking->options->duration_ms)
		ma_tracking_watch(tracking, tracking->options->duration_ms, "attached");
	if (ma_tracking_ends_now(tracking))
		detach_all(tracking);
	ma_client_close(&tracking->client);
	ma_daemon_end(&tracking->client);
	ma_targets_fini(&tracking->targets);
	return tracking->exit_code;
}
