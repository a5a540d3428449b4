/* SPDX-License-Identifier: MIT */
/* memattach detach PID...|--all: take the hook out again. Works with and without a daemon. */
#include "cli/cmd.h"

#include <stdlib.h>
#include <string.h>

#include "cli/alloc.h"
#include "cli/errors.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/json_out.h"
#include "cli/output.h"
#include "cli/targets.h"
#include "cli/tracking.h"

enum { MOST_LISTED = 4096 };

/* The course of one detach command. */
struct detaching {
	const struct ma_options *options;
	struct ma_client client;
	struct ma_targets targets;
	struct ma_text text;
	struct ma_json json;
	int exit_code;
};

static void fail(struct detaching *detaching, struct ma_target *target,
		 const struct ma_error *error)
{
	target->error = *error;
	detaching->exit_code =
		ma_errors_first(detaching->exit_code, ma_errors_print(&target->error));
}

static void add_pid(pid_t **pids, size_t *count, pid_t pid)
{
	for (size_t i = 0; i < *count; i++)
		if ((*pids)[i] == pid)
			return;
	*pids = ma_alloc_grow(*pids, *count + 1, sizeof **pids);
	(*pids)[(*count)++] = pid;
}

/* Everything attached: what our daemon serves, and hooks that nobody serves any more. What another
 * daemon serves is another person's. */
static size_t list_attached(struct detaching *detaching, pid_t **pids)
{
	size_t count = 0;
	Memattach__Reply *reply = NULL;
	struct ma_error error = {0};
	*pids = NULL;
	if (!ma_client_is_gone(&detaching->client) &&
	    ma_client_sessions(&detaching->client, 0, &reply, &error) == 0) {
		for (size_t i = 0; i < reply->sessions->n_session; i++) {
			const Memattach__Session *session = reply->sessions->session[i];
			if (session->state != MEMATTACH__SESSION__STATE__ENDED ||
			    detaching->options->forget)
				add_pid(pids, &count, session->pid);
		}
		ma_client_free_reply(reply);
	}
	pid_t *found = ma_alloc(MOST_LISTED, sizeof *found);
	int found_count = ma_process_list(found, MOST_LISTED);
	for (int i = 0; i < found_count && i < MOST_LISTED; i++) {
		struct ma_process process;
		if (ma_process_inspect(found[i], &process, NULL) == 0 && process.attached &&
		    !process.served)
			add_pid(pids, &count, found[i]);
	}
	free(found);
	return count;
}

/* What a detach could not put back, because it is not ours any more, or not within reach. */
static void notice_leftovers(pid_t pid, const struct ma_detach_result *result)
{
	ma_output_notice_lines(pid, result->notice);
	if (result->children)
		ma_output_notice("%d: %u live processes forked while attached keep their jumps, "
				 "switched off: children are not touched",
				 (int)pid, result->children);
	if (result->tables_foreign)
		ma_output_notice("%d: somebody (tracemalloc?) has put other functions into "
				 "Python's allocator tables since; they were left alone",
				 (int)pid);
	if (result->slots_foreign)
		ma_output_notice("%d: %u call slots that hold another tool's functions were left "
				 "alone; what went through them was not seen",
				 (int)pid, result->slots_foreign);
}

static void report(struct detaching *detaching, pid_t pid, const char *state,
		   const struct ma_detach_result *result)
{
	struct ma_json *json = &detaching->json;
	ma_json_begin_object(json, NULL);
	ma_json_integer(json, "pid", pid);
	ma_json_string(json, "state", state);
	ma_json_unsigned(json, "pause_us", result->pause_us);
	ma_json_unsigned(json, "bytes_left", result->bytes_left);
	ma_json_unsigned(json, "children", result->children);
	ma_json_unsigned(json, "slots_foreign", result->slots_foreign);
	ma_json_bool(json, "lingering", result->lingering);
	ma_json_string(json, "notice", result->notice);
	ma_json_end_object(json);
	ma_text_addf(&detaching->text, "%d  %s", (int)pid, state);
	if (strcmp(state, "detached") == 0)
		ma_text_addf(&detaching->text, ", longest pause %s, %s of jumps left",
			     ma_format_duration_us(result->pause_us).text,
			     ma_format_setting(result->bytes_left).text);
	ma_text_add(&detaching->text, "\n");
	if (!detaching->options->quiet)
		notice_leftovers(pid, result);
}

/* A process that cannot be inspected: perhaps it ended, and the daemon has its last state. */
static void detach_ended(struct detaching *detaching, struct ma_target *target)
{
	const struct ma_detach_result nothing = {0};
	struct ma_error error = target->error, ignored;
	Memattach__Reply *reply = NULL;
	if (ma_client_is_gone(&detaching->client) ||
	    ma_client_sessions(&detaching->client, target->pid, &reply, &ignored)) {
		fail(detaching, target, &error);
		return;
	}
	const Memattach__Session *session = ma_tracking_session(reply, target->pid);
	if (session && detaching->options->forget) {
		if (ma_client_dismiss(&detaching->client, target->pid, &error) == 0) {
			target->error = (struct ma_error){0};
			report(detaching, target->pid, "forgotten", &nothing);
		} else {
			fail(detaching, target, &error);
		}
	} else {
		if (session && session->ended[0]) {
			ma_error_set(&error, MA_ERR_NO_PROCESS, 0, "detaching from %d",
				     (int)target->pid);
			ma_error_answer(&error, "it ended: %s", session->ended);
			ma_error_remedy(&error,
					"Its last state: memattach %d\n"
					"To drop that: memattach detach --forget %d",
					(int)target->pid, (int)target->pid);
		}
		fail(detaching, target, &error);
	}
	ma_client_free_reply(reply);
}

/* Also one that does not look attached: a tracer that was killed may have left something. */
static void detach_one(struct detaching *detaching, struct ma_target *target)
{
	struct ma_detach_result result = {0};
	struct ma_error error = {0};
	if (target->error.code) {
		detach_ended(detaching, target);
		return;
	}
	if (ma_tracking_detach(&detaching->client, target->pid, &result, &error)) {
		fail(detaching, target, &error);
		/* The connection was closed to give the lock back. */
		if (ma_client_is_gone(&detaching->client))
			ma_client_connect(&detaching->client, NULL);
		return;
	}
	if (detaching->options->forget && !ma_client_is_gone(&detaching->client))
		ma_client_dismiss(&detaching->client, target->pid, NULL);
	report(detaching, target->pid, result.was_attached ? "detached" : "not attached", &result);
}

static void find_targets(struct detaching *detaching)
{
	const struct ma_options *options = detaching->options;
	if (options->all) {
		pid_t *pids;
		size_t count = list_attached(detaching, &pids);
		ma_targets_resolve(&detaching->targets, pids, count, false);
		free(pids);
	} else {
		ma_targets_resolve(&detaching->targets, options->pids, options->pid_count,
				   options->children);
	}
}

int ma_cmd_detach(const struct ma_options *options)
{
	struct detaching detaching = {.options = options, .client = {.fd = -1}};
	struct ma_error error = {0};
	ma_interrupt_init();
	int code = ma_client_connect(&detaching.client, &error);
	/* Without a daemon it works too; a daemon that cannot be talked to is worth a word. */
	if (code && code != MA_ERR_NO_PROCESS)
		ma_errors_print(&error);
	find_targets(&detaching);
	ma_json_begin_object(&detaching.json, NULL);
	ma_json_string(&detaching.json, "schema", "memattach.detach/1");
	ma_json_begin_array(&detaching.json, "targets");
	for (size_t i = 0; i < detaching.targets.count; i++)
		detach_one(&detaching, &detaching.targets.list[i]);
	ma_json_end_array(&detaching.json);
	ma_errors_json_list(&detaching.json, &detaching.targets);
	ma_json_end_object(&detaching.json);
	if (!detaching.targets.count)
		ma_text_add(&detaching.text, "nothing is attached\n");
	code = ma_output_print(options->json ? &detaching.json.text : &detaching.text, 0);
	detaching.exit_code = ma_errors_first(detaching.exit_code, code);
	ma_client_close(&detaching.client);
	ma_targets_fini(&detaching.targets);
	ma_text_fini(&detaching.text);
	ma_text_fini(&detaching.json.text);
	return detaching.exit_code;
}
