/* SPDX-License-Identifier: MIT */
/* memattach PID...: attach if needed, watch, print the first screen, keep tracking. */
#include "cli/cmd.h"

#include <stdlib.h>

#include "cli/errors.h"
#include "cli/output.h"
#include "cli/summary_json.h"
#include "cli/summary_view.h"
#include "cli/terminal.h"
#include "cli/tracking.h"
#include "proto/snapshot.h"

/* What the command writes into: one of the two. */
struct page {
	struct ma_terminal terminal;
	struct ma_text text;
	struct ma_json json;
	size_t printed; /* targets */
};

static void write_target(struct ma_tracking *tracking, struct page *page,
			 const struct ma_target *target, const Memattach__Profile *profile,
			 const Memattach__Session *session)
{
	const struct ma_options *options = tracking->options;
	const struct ma_summary summary = {
		.profile = profile,
		.session = session,
		.leaving = target->attached_now && ma_tracking_ends_now(tracking),
		.top = options->top,
		.width = page->terminal.width,
		.color = page->terminal.color,
	};
	if (options->json) {
		ma_summary_json_write(&page->json, &summary);
	} else {
		if (page->printed)
			ma_text_add(&page->text, "\n\n");
		ma_summary_view_write(&page->text, &summary);
	}
	page->printed++;
}

static int check_trusted(const struct ma_snapshot_state *state, const Memattach__Profile *profile,
			 pid_t pid, struct ma_error *error)
{
	if (state->heap_trusted && profile->heap && !state->cut_short)
		return 0;
	ma_error_set(error, MA_ERR_PROTOCOL, 0, "reading the heap of %d", (int)pid);
	ma_error_answer(error, "%s",
			state->heap_reason[0] ? state->heap_reason : "the snapshot was cut short");
	ma_error_remedy(error, "Run the command again.");
	return MA_ERR_PROTOCOL;
}

/* What was asked about ended while we watched: its last state is printed, and the exit code says
 * so. */
static void note_end(struct ma_tracking *tracking, const struct ma_target *target,
		     const Memattach__Session *session)
{
	if (target->only_session || !session || session->state != MEMATTACH__SESSION__STATE__ENDED)
		return;
	tracking->exit_code =
		ma_errors_first(tracking->exit_code, ma_error_exit_code(MA_ERR_NO_PROCESS));
	if (!tracking->options->quiet)
		ma_output_notice("%d ended while it was watched: %s; this is its last state",
				 (int)target->pid, session->ended);
}

static int show(struct ma_tracking *tracking, struct page *page, const struct ma_target *target,
		struct ma_error *error)
{
	pid_t pid = target->pid;
	Memattach__Reply *snapshot = NULL, *sessions = NULL;
	Memattach__Profile *profile = NULL;
	struct ma_snapshot_state state;
	int code = ma_client_snapshot(&tracking->client, pid, !tracking->options->no_native,
				      &snapshot, error);
	if (!code)
		code = ma_snapshot_parse(snapshot->snapshot.data, snapshot->snapshot.len, &profile,
					 &state, error);
	if (!code)
		code = check_trusted(&state, profile, pid, error);
	if (!code)
		code = ma_client_sessions(&tracking->client, pid, &sessions, error);
	if (!code) {
		const Memattach__Session *session = ma_tracking_session(sessions, pid);
		write_target(tracking, page, target, profile, session);
		note_end(tracking, target, session);
	}
	if (profile)
		memattach__profile__free_unpacked(profile, NULL);
	ma_client_free_reply(snapshot);
	ma_client_free_reply(sessions);
	return code;
}

static void begin_page(struct page *page, const struct ma_options *options)
{
	*page = (struct page){.terminal = ma_terminal_look(options->color)};
	if (!options->json)
		return;
	ma_json_begin_object(&page->json, NULL);
	ma_json_string(&page->json, "schema", "memattach.summary/1");
	ma_json_begin_array(&page->json, "targets");
}

static int print_page(struct page *page, const struct ma_tracking *tracking)
{
	if (tracking->options->json) {
		ma_json_end_array(&page->json);
		ma_errors_json_list(&page->json, &tracking->targets);
		ma_json_end_object(&page->json);
	}
	struct ma_text *text = tracking->options->json ? &page->json.text : &page->text;
	int code = ma_output_print(text, 0);
	ma_text_fini(&page->text);
	ma_text_fini(&page->json.text);
	return code;
}

int ma_cmd_summary(const struct ma_options *options)
{
	struct ma_tracking tracking;
	struct page page;
	begin_page(&page, options);
	ma_tracking_begin(&tracking, options);
	ma_tracking_watch(&tracking, options->wait_ms, "watching");
	ma_tracking_await_names(&tracking);
	for (size_t i = 0; i < tracking.targets.count; i++) {
		struct ma_target *target = &tracking.targets.list[i];
		struct ma_error error = {0};
		if (!target->error.code && show(&tracking, &page, target, &error))
			ma_tracking_fail(&tracking, target, &error);
	}
	tracking.exit_code = ma_errors_first(tracking.exit_code, print_page(&page, &tracking));
	return ma_tracking_end(&tracking);
}
