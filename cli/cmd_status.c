/* SPDX-License-Identifier: MIT */
/* memattach status [PID...]: what is attached, and how it goes. */
#include "cli/cmd.h"

#include "cli/errors.h"
#include "cli/format.h"
#include "cli/json_out.h"
#include "cli/output.h"
#include "cli/session_view.h"
#include "cli/terminal.h"
#include "cli/tracking.h"

/* What one status command writes. */
struct page {
	const struct ma_options *options;
	struct ma_terminal terminal;
	struct ma_text text;
	struct ma_json json;
	size_t printed;
};

static void write_session(struct page *page, const Memattach__Session *session)
{
	if (page->options->json) {
		ma_session_json_write(&page->json, session);
	} else {
		if (page->printed)
			ma_text_add(&page->text, "\n");
		ma_session_view_write(&page->text, session, ma_format_now_ns(),
				      page->terminal.width, page->terminal.color);
	}
	page->printed++;
}

/* Why there is no session: there is no such process, it is no Python, or it is just not attached.
 */
static void explain(pid_t pid, struct ma_error *error)
{
	struct ma_process process;
	if (ma_process_inspect(pid, &process, error))
		return;
	ma_error_set(error, MA_ERR_FAILED, 0, "status of %d", (int)pid);
	if (process.attached) {
		ma_error_answer(error, "our hook is in it, but no daemon of yours serves it");
		ma_error_remedy(error,
				"To take it over: memattach attach %d\n"
				"To remove it: memattach detach %d",
				(int)pid, (int)pid);
	} else {
		ma_error_answer(error, "not attached");
		ma_error_remedy(error, "memattach attach %d", (int)pid);
	}
}

static int write_asked(struct page *page, const Memattach__Reply *reply)
{
	const struct ma_options *options = page->options;
	int code = 0;
	for (size_t i = 0; i < options->pid_count; i++) {
		const Memattach__Session *session =
			reply ? ma_tracking_session(reply, options->pids[i]) : NULL;
		if (session)
			write_session(page, session);
	}
	if (options->json) {
		ma_json_end_array(&page->json);
		ma_json_begin_array(&page->json, "errors");
	}
	for (size_t i = 0; i < options->pid_count; i++) {
		struct ma_error error = {0};
		if (reply && ma_tracking_session(reply, options->pids[i]))
			continue;
		explain(options->pids[i], &error);
		code = ma_errors_first(code, ma_errors_print(&error));
		if (options->json)
			ma_errors_json(&page->json, options->pids[i], &error);
	}
	if (options->json)
		ma_json_end_array(&page->json);
	return code;
}

static void write_all(struct page *page, const Memattach__Reply *reply)
{
	for (size_t i = 0; reply && i < reply->sessions->n_session; i++)
		write_session(page, reply->sessions->session[i]);
	if (page->options->json) {
		ma_json_end_array(&page->json);
		ma_json_begin_array(&page->json, "errors");
		ma_json_end_array(&page->json);
	} else if (!page->printed) {
		ma_text_add(&page->text, reply ? "nothing is attached\n"
					       : "nothing is attached: no daemon runs\n");
	}
}

int ma_cmd_status(const struct ma_options *options)
{
	struct page page = {.options = options, .terminal = ma_terminal_look(options->color)};
	struct ma_client client = {.fd = -1};
	struct ma_error error = {0};
	Memattach__Reply *reply = NULL;
	int code = ma_client_connect(&client, &error);
	if (!code)
		code = ma_client_sessions(&client, 0, &reply, &error);
	if (code && code != MA_ERR_NO_PROCESS)
		return ma_errors_print(&error);
	ma_json_begin_object(&page.json, NULL);
	ma_json_string(&page.json, "schema", "memattach.status/1");
	if (reply)
		ma_json_string(&page.json, "daemon_release", client.release);
	else
		ma_json_null(&page.json, "daemon_release");
	ma_json_begin_array(&page.json, "sessions");
	code = 0;
	if (options->pid_count)
		code = write_asked(&page, reply);
	else
		write_all(&page, reply);
	ma_json_end_object(&page.json);
	code = ma_errors_first(code,
			       ma_output_print(options->json ? &page.json.text : &page.text, 0));
	ma_client_free_reply(reply);
	ma_client_close(&client);
	ma_text_fini(&page.text);
	ma_text_fini(&page.json.text);
	return code;
}
