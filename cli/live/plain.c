/* SPDX-License-Identifier: MIT */
/* The live view where nobody sees a screen: a block of lines, or one line of JSON, at every
 * interval. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/display.h"
#include "cli/errors.h"
#include "cli/interrupt.h"
#include "cli/live/compact.h"
#include "cli/live/estimates.h"
#include "cli/live/frame.h"
#include "cli/live/link.h"
#include "cli/live/live.h"
#include "cli/live/plain_json.h"
#include "cli/output.h"
#include "cli/terminal.h"

enum { ANSWER_MS = 30000, STEP_MS = 200, FUNCTION_COLUMNS = 30, DEFAULT_INTERVAL_MS = 2000 };

struct plain {
	struct ma_tracking *tracking;
	struct ma_target *target;
	struct ma_link link;
	uint64_t reference; /* mark that changes count from; 0: none yet */
	bool ended;
	bool stop; /* nobody reads any more, or there is nothing more to say */
};

static uint64_t monotonic_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits for the answer, or for Ctrl-C (*reply is NULL then). */
static int wait_for_answer(struct plain *plain, Memattach__Reply **reply, struct ma_error *error)
{
	uint64_t until_ms = monotonic_ms() + ANSWER_MS;
	while (!ma_interrupt_seen()) {
		struct pollfd fd = {.fd = plain->link.fd, .events = POLLIN};
		if (poll(&fd, 1, STEP_MS) == 1)
			return ma_link_receive(&plain->link, reply, monotonic_ms(), error);
		if (monotonic_ms() > until_ms) {
			ma_error_set(error, MA_ERR_FAILED, 0, "watching %d",
				     (int)plain->target->pid);
			ma_error_answer(error, "the daemon does not answer");
			ma_error_remedy(error, "Run the command again.");
			return MA_ERR_FAILED;
		}
	}
	return 0;
}

static int ask(struct plain *plain, Memattach__Reply **reply, struct ma_error *error)
{
	Memattach__LiveQuery query = MEMATTACH__LIVE_QUERY__INIT;
	*reply = NULL;
	query.pid = plain->target->pid;
	query.view = MEMATTACH__LIVE_QUERY__VIEW__LINES;
	query.limit = plain->tracking->options->top;
	query.mark = !plain->reference;
	query.reference = plain->reference;
	query.without_timeline = true;
	query.native = !plain->tracking->options->no_native;
	int code = ma_link_ask(&plain->link, &query, monotonic_ms(), error);
	if (!code)
		code = wait_for_answer(plain, reply, error);
	if (!code && *reply && (*reply)->live->mark)
		plain->reference = (*reply)->live->mark;
	return code;
}

static void write_head(struct ma_text *text, const Memattach__LiveView *view)
{
	const Memattach__Session *session = view->session;
	const Memattach__Memory *memory = view->memory;
	const Memattach__Totals *totals = view->totals;
	ma_text_addf(text, "%s  %d", ma_compact_clock(view->time_nanos, true).text, session->pid);
	ma_text_addf(text, "  RSS %s", ma_compact_size((double)memory->rss_bytes).text);
	if (memory->pss_bytes)
		ma_text_addf(text, "  PSS %s", ma_compact_size((double)memory->pss_bytes).text);
	ma_text_addf(text, "  swap %s", ma_compact_size((double)memory->swap_bytes).text);
	if (memory->cgroup_limit_bytes)
		ma_text_addf(text, "  limit %s/%s",
			     ma_compact_size((double)memory->cgroup_bytes).text,
			     ma_compact_size((double)memory->cgroup_limit_bytes).text);
	ma_text_addf(text, "  live %s", ma_compact_size(totals->live_bytes).text);
	ma_text_add(text, ma_live_plus_minus(ma_live_total_estimate(totals), "\u00b1").text);
	ma_text_addf(text, "  peak %s", ma_compact_size(totals->peak_bytes).text);
	if (session->peak_time_nanos)
		ma_text_addf(text, " at %s", ma_compact_clock(session->peak_time_nanos, true).text);
	ma_text_addf(text, "  alloc %s/s",
		     ma_compact_size(totals->allocated_bytes_per_second).text);
	if (session->cost_ratio >= 0)
		ma_text_addf(text, "  cost %s", ma_compact_share(session->cost_ratio).text);
	ma_text_addf(text, "  drops %s\n", ma_compact_count((double)session->drops).text);
}

static void write_row(struct ma_text *text, const Memattach__LiveRow *row)
{
	struct ma_text function = {0}, cut = {0};
	struct ma_estimate estimate = ma_live_row_estimate(row);
	ma_display_escape(&function, row->function);
	/* What it called in native code, as far as there is room. */
	if (row->callee[0]) {
		ma_text_add(&function, " > ");
		ma_display_escape(&function, row->callee);
	}
	unsigned taken = ma_display_add_start(&cut, ma_text_string(&function), FUNCTION_COLUMNS);
	ma_text_addf(text, "%8s %7s %8s %8s %8s %8s %6s  %s", ma_compact_size(row->live_bytes).text,
		     ma_compact_size(ma_interval_plus_minus(&estimate)).text,
		     ma_compact_change(row->delta_bytes).text,
		     ma_compact_size(row->held_bytes).text, ma_compact_size(row->peak_bytes).text,
		     ma_compact_size(row->rate).text, ma_compact_count(row->live_count).text,
		     ma_text_string(&cut));
	ma_text_repeat(text, ' ', FUNCTION_COLUMNS - taken + 2);
	ma_display_escape(text, ma_display_path(ma_live_file(row->file, row->module)));
	if (row->line > 0)
		ma_text_addf(text, ":%d", row->line);
	ma_text_add(text, "\n");
	ma_text_fini(&function);
	ma_text_fini(&cut);
}

static void write_block(struct ma_text *text, const Memattach__LiveView *view)
{
	write_head(text, view);
	if (view->session->state != MEMATTACH__SESSION__STATE__TRACKING) {
		ma_text_addf(text, "%s: ", "ended");
		ma_display_escape(text, view->session->ended);
		ma_text_add(text, "; this is the last state\n");
	}
	ma_text_addf(text, "%8s %8s %9s %8s %8s %8s %6s  %-*s  %s\n", "LIVE", "\u00b195%", "\u0394",
		     "HELD", "PEAK", "RATE/s", "COUNT", FUNCTION_COLUMNS, "FUNCTION", "FILE:LINE");
	for (size_t i = 0; i < view->n_row; i++)
		write_row(text, view->row[i]);
	uint32_t more = view->row_count - (uint32_t)view->n_row;
	if (more)
		ma_text_addf(text, "%*s and %u more\n", 8, "", more);
	ma_text_add(text, "\n");
}

/* Prints one answer. */
static int print(struct plain *plain, const Memattach__LiveView *view, struct ma_error *error)
{
	struct ma_text text = {0};
	if (plain->tracking->options->json)
		ma_live_json_write(&text, view);
	else
		write_block(&text, view);
	int code = ma_output_write_all(STDOUT_FILENO, text.data, text.length, "stdout", error);
	ma_text_fini(&text);
	if (code && error->sys_errno == EPIPE) {
		plain->stop = true;
		return 0;
	}
	return code;
}

/* One interval: question, answer, print. */
static int step(struct plain *plain, struct ma_error *error)
{
	Memattach__Reply *reply = NULL;
	int code;
	do {
		/* Sites that are still being read would be missing from the table. */
		ma_client_free_reply(reply);
		code = ask(plain, &reply, error);
	} while (!code && reply && reply->live->indexed < 1);
	if (!code && reply) {
		plain->ended = reply->live->session->state != MEMATTACH__SESSION__STATE__TRACKING;
		code = print(plain, reply->live, error);
	}
	if (!reply || plain->ended)
		plain->stop = true;
	ma_client_free_reply(reply);
	return code;
}

int ma_live_print(struct ma_tracking *tracking)
{
	const struct ma_options *options = tracking->options;
	struct plain plain = {.tracking = tracking, .target = &tracking->targets.list[0]};
	struct ma_error error = {0};
	uint64_t interval_ms = options->interval_ms ? options->interval_ms : DEFAULT_INTERVAL_MS;
	uint64_t next_ms = monotonic_ms();
	uint64_t end_ms = options->duration_ms ? next_ms + options->duration_ms : UINT64_MAX;
	int code = 0;
	ma_link_init(&plain.link);
	while (!code && !plain.stop && !ma_interrupt_seen()) {
		code = step(&plain, &error);
		next_ms += interval_ms;
		uint64_t now_ms = monotonic_ms();
		/* Late already: an interval that was missed does not come twice. */
		if (next_ms < now_ms)
			next_ms = now_ms;
		if (plain.stop || code || next_ms > end_ms)
			break;
		ma_interrupt_sleep_ms(next_ms - now_ms);
	}
	if (code == MA_ERR_NO_PROCESS && plain.link.fd < 0) {
		/* It is the daemon that is gone, not the process. */
		ma_error_set(&error, MA_ERR_FAILED, 0, "watching %d", (int)plain.target->pid);
		ma_error_answer(&error, "the daemon went away");
		ma_error_remedy(&error, "The process itself is unharmed. Run the command again: it "
					"starts a daemon and takes over.");
	}
	ma_link_close(&plain.link);
	if (code) {
		ma_tracking_fail(tracking, plain.target, &error);
	} else if (plain.ended && !plain.target->only_session) {
		tracking->exit_code =
			ma_errors_first(tracking->exit_code, ma_error_exit_code(MA_ERR_NO_PROCESS));
		if (!options->quiet)
			ma_output_notice("%d ended while it was watched", (int)plain.target->pid);
	}
	return tracking->exit_code;
}
