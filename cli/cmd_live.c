/* SPDX-License-Identifier: MIT */
/* memattach live PID: attach if needed, show the heap continuously, keep tracking. */
#include "cli/cmd.h"

#include "cli/errors.h"
#include "cli/live/live.h"
#include "cli/live/screen.h"
#include "cli/output.h"
#include "cli/tracking.h"

enum { SCREEN_INTERVAL_MS = 500 };

/* What goes on after the screen is gone. */
static void say_goodbye(const struct ma_tracking *tracking, pid_t pid)
{
	const struct ma_target *target = &tracking->targets.list[0];
	if (tracking->options->quiet || target->only_session || ma_tracking_ends_now(tracking))
		return;
	ma_output_notice("%d: tracking goes on until `memattach detach %d`, or for 24 h after the "
			 "last query",
			 (int)pid, (int)pid);
}

static void detach(struct ma_tracking *tracking, struct ma_target *target)
{
	struct ma_detach_result result;
	struct ma_error error = {0};
	/* The daemon may have come back since, or be another one. */
	if (ma_client_is_gone(&tracking->client))
		ma_client_connect(&tracking->client, NULL);
	if (ma_tracking_detach(&tracking->client, target->pid, &result, &error)) {
		ma_tracking_fail(tracking, target, &error);
		return;
	}
	/* Nothing is left for the end of the command to take out. */
	target->attached_now = false;
	if (!tracking->options->quiet) {
		ma_output_notice(result.was_attached ? "detached from %d" : "%d was not attached",
				 (int)target->pid);
		ma_output_notice_lines(target->pid, result.notice);
	}
}

static void show(struct ma_tracking *tracking, struct ma_target *target)
{
	enum ma_live_end end;
	struct ma_error error = {0};
	if (ma_live_run(tracking, &end, &error))
		ma_tracking_fail(tracking, target, &error);
	else if (end == MA_LIVE_DETACH)
		detach(tracking, target);
	else
		say_goodbye(tracking, target->pid);
}

int ma_cmd_live(const struct ma_options *options)
{
	struct ma_options own = *options;
	struct ma_tracking tracking;
	bool screen = !options->json && ma_screen_possible();
	if (screen && !own.interval_ms)
		own.interval_ms = SCREEN_INTERVAL_MS;
	ma_tracking_begin(&tracking, &own);
	struct ma_target *target = &tracking.targets.list[0];
	if (!target->error.code && screen)
		show(&tracking, target);
	else if (!target->error.code)
		ma_live_print(&tracking);
	return ma_tracking_end(&tracking);
}
