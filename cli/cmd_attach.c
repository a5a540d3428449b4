/* SPDX-License-Identifier: MIT */
/* memattach attach PID...: attach and return, or stay where leaving would end the tracking. */
#include "cli/cmd.h"

#include <stdint.h>

#include "cli/errors.h"
#include "cli/format.h"
#include "cli/json_out.h"
#include "cli/output.h"
#include "cli/tracking.h"

static void write_session(struct ma_text *text, const struct ma_target *target,
			  const Memattach__Session *session)
{
	ma_text_addf(text, "%d  ", (int)target->pid);
	if (target->attached_now)
		ma_text_addf(text, "attached in %s",
			     ma_format_duration_us(session->hook_running_us).text);
	else
		ma_text_addf(text, "attached since %s",
			     ma_format_clock(session->attach_time_nanos, ma_format_now_ns()).text);
	ma_text_addf(text, "   see it: memattach %d   end it: memattach detach %d\n",
		     (int)target->pid, (int)target->pid);
}

static void json_session(struct ma_json *json, const struct ma_target *target,
			 const Memattach__Session *session)
{
	ma_json_begin_object(json, NULL);
	ma_json_integer(json, "pid", target->pid);
	ma_json_bool(json, "attached_now", target->attached_now);
	ma_json_time(json, "attached", session->attach_time_nanos);
	ma_json_string(json, "command", session->command);
	ma_json_string(json, "python", session->python_version);
	ma_json_unsigned(json, "hook_running_us", session->hook_running_us);
	ma_json_unsigned(json, "pause_us", session->pause_us);
	ma_json_end_object(json);
}

static int print(struct ma_tracking *tracking)
{
	const struct ma_options *options = tracking->options;
	struct ma_text text = {0};
	struct ma_json json = {0};
	ma_json_begin_object(&json, NULL);
	ma_json_string(&json, "schema", "memattach.attach/1");
	ma_json_begin_array(&json, "targets");
	for (size_t i = 0; i < tracking->targets.count; i++) {
		struct ma_target *target = &tracking->targets.list[i];
		Memattach__Reply *reply = NULL;
		struct ma_error error = {0};
		if (target->error.code)
			continue;
		if (ma_client_sessions(&tracking->client, target->pid, &reply, &error)) {
			ma_tracking_fail(tracking, target, &error);
			continue;
		}
		const Memattach__Session *session = ma_tracking_session(reply, target->pid);
		if (session) {
			write_session(&text, target, session);
			json_session(&json, target, session);
		}
		ma_client_free_reply(reply);
	}
	ma_json_end_array(&json);
	ma_errors_json_list(&json, &tracking->targets);
	ma_json_end_object(&json);
	int code = ma_output_print(options->json ? &json.text : &text, 0);
	ma_text_fini(&text);
	ma_text_fini(&json.text);
	return code;
}

int ma_cmd_attach(const struct ma_options *options)
{
	struct ma_tracking tracking;
	ma_tracking_begin(&tracking, options);
	tracking.exit_code = ma_errors_first(tracking.exit_code, print(&tracking));
	if (tracking.client.child && !options->duration_ms) {
		if (!options->quiet)
			ma_output_notice("staying; Ctrl-C detaches");
		ma_tracking_watch(&tracking, UINT64_MAX, NULL);
	}
	return ma_tracking_end(&tracking);
}
