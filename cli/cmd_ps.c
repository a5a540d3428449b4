/* SPDX-License-Identifier: MIT */
/* memattach ps: the Python processes here, and which of them can be attached to. */
#include "cli/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc.h"
#include "cli/checks.h"
#include "cli/display.h"
#include "cli/errors.h"
#include "cli/format.h"
#include "cli/json_out.h"
#include "cli/output.h"
#include "cli/process_limit.h"
#include "cli/process_tree.h"
#include "cli/terminal.h"
#include "cli/tracking.h"

enum { ROOM_AT_FIRST = 256 };

/* A line of the list. */
struct row {
	struct ma_process process;
	uint64_t rss_bytes;
	uint64_t limit_bytes;
	char obstacle[200];         /* why it cannot be attached to; empty: it can */
	uint64_t attached_since_ns; /* 0: not attached, or not known since when */
};

static size_t list_pids(pid_t **pids)
{
	int room = ROOM_AT_FIRST, count;
	for (*pids = NULL;; room = count + ROOM_AT_FIRST) {
		*pids = ma_alloc_grow(*pids, (size_t)room, sizeof **pids);
		count = ma_process_list(*pids, room);
		if (count <= room)
			return count > 0 ? (size_t)count : 0;
	}
}

static void find_obstacle(struct row *row, const struct ma_error *error)
{
	struct ma_check checks[MA_CHECKS_MOST];
	if (error->code) {
		snprintf(row->obstacle, sizeof row->obstacle, "%s",
			 error->answer[0] ? error->answer : error->what);
		return;
	}
	int count = ma_doctor(row->process.pid, checks, MA_CHECKS_MOST);
	const struct ma_check *failed =
		ma_checks_first_failed(checks, count < MA_CHECKS_MOST ? count : MA_CHECKS_MOST);
	if (failed)
		snprintf(row->obstacle, sizeof row->obstacle, "%s",
			 failed->found[0] ? failed->found : failed->name);
}

/* Fills a row; false when the process is gone again. */
static bool fill_row(struct row *row, pid_t pid, const Memattach__Reply *sessions)
{
	struct ma_process_entry entry;
	struct ma_error error = {0};
	memset(row, 0, sizeof *row);
	int code = ma_process_inspect(pid, &row->process, &error);
	if (code == MA_ERR_NO_PROCESS || ma_process_entry_read(pid, &entry))
		return false;
	row->process.pid = pid;
	error.code = (enum ma_err)code;
	row->rss_bytes = entry.rss_bytes;
	row->limit_bytes = ma_process_limit_bytes(pid);
	const Memattach__Session *session = sessions ? ma_tracking_session(sessions, pid) : NULL;
	if (session && session->state == MEMATTACH__SESSION__STATE__TRACKING) {
		row->process.attached = true;
		row->attached_since_ns = session->attach_time_nanos;
	}
	if (!row->process.attached)
		find_obstacle(row, &error);
	return true;
}

static int by_memory(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	return (x->rss_bytes < y->rss_bytes) - (x->rss_bytes > y->rss_bytes);
}

/* Whether and since when: "yes", "no", "since 14:03:02". */
static void attach_words(const struct row *row, char words[40])
{
	if (row->attached_since_ns)
		snprintf(words, 40, "since %s",
			 ma_format_clock(row->attached_since_ns, ma_format_now_ns()).text);
	else if (row->process.attached)
		snprintf(words, 40, "not served");
	else
		snprintf(words, 40, "%s", row->obstacle[0] ? "no" : "yes");
}

static const char *shown_command(const struct row *row)
{
	return ma_display_command(row->process.command[0] ? row->process.command
							  : row->process.exe);
}

static void write_row(struct ma_text *text, const struct row *row, unsigned attach_columns,
		      const struct ma_terminal *terminal)
{
	struct ma_text line = {0}, escaped = {0};
	char words[40];
	attach_words(row, words);
	ma_text_addf(&line, "%7d  %9s  %9s  %-8.8s  ", (int)row->process.pid,
		     ma_format_size((double)row->rss_bytes).text,
		     row->limit_bytes ? ma_format_size((double)row->limit_bytes).text : "-",
		     row->process.python_release[0] ? row->process.python_release : "?");
	ma_text_add(text, ma_text_string(&line));
	enum ma_style style = row->obstacle[0] ? MA_STYLE_BAD : MA_STYLE_GOOD;
	ma_style_begin(text, terminal->color, style);
	ma_text_addf(text, "%-*s", (int)attach_columns, words);
	ma_style_end(text, terminal->color, style);
	ma_text_add(text, "  ");
	unsigned taken = ma_display_columns(ma_text_string(&line)) + attach_columns + 2;
	ma_display_escape(&escaped, shown_command(row));
	if (row->obstacle[0]) {
		ma_text_add(&escaped, "   (");
		ma_display_escape(&escaped, row->obstacle);
		ma_text_add(&escaped, ")");
	}
	ma_display_add_start(text, ma_text_string(&escaped),
			     terminal->width > taken + 20 ? terminal->width - taken : 20);
	ma_text_add(text, "\n");
	ma_text_fini(&line);
	ma_text_fini(&escaped);
}

static void write_table(struct ma_text *text, const struct row *rows, size_t count,
			const struct ma_terminal *terminal)
{
	if (!count) {
		ma_text_add(text, "no Python process can be seen here\n");
		return;
	}
	unsigned attach_columns = sizeof "ATTACH" - 1;
	for (size_t i = 0; i < count; i++) {
		char words[40];
		attach_words(&rows[i], words);
		if (strlen(words) > attach_columns)
			attach_columns = (unsigned)strlen(words);
	}
	ma_style_begin(text, terminal->color, MA_STYLE_HEAD);
	ma_text_addf(text, "%7s  %9s  %9s  %-8s  %-*s  %s", "PID", "RSS", "LIMIT", "PYTHON",
		     (int)attach_columns, "ATTACH", "COMMAND");
	ma_style_end(text, terminal->color, MA_STYLE_HEAD);
	ma_text_add(text, "\n");
	for (size_t i = 0; i < count; i++)
		write_row(text, &rows[i], attach_columns, terminal);
}

static void json_row(struct ma_json *json, const struct row *row)
{
	const struct ma_process *process = &row->process;
	ma_json_begin_object(json, NULL);
	ma_json_integer(json, "pid", process->pid);
	ma_json_string(json, "command", process->command);
	ma_json_string(json, "executable", process->exe);
	ma_json_string(json, "python", process->python_release);
	ma_json_unsigned(json, "uid", process->uid);
	ma_json_unsigned(json, "threads", process->threads);
	ma_json_unsigned(json, "rss_bytes", row->rss_bytes);
	ma_json_unsigned(json, "limit_bytes", row->limit_bytes);
	ma_json_bool(json, "can_attach", process->attached || !row->obstacle[0]);
	ma_json_string(json, "obstacle", row->obstacle);
	ma_json_bool(json, "attached", process->attached);
	ma_json_time(json, "attached_since", row->attached_since_ns);
	ma_json_end_object(json);
}

static void write_json(struct ma_json *json, const struct row *rows, size_t count)
{
	ma_json_begin_object(json, NULL);
	ma_json_string(json, "schema", "memattach.ps/1");
	ma_json_begin_array(json, "processes");
	for (size_t i = 0; i < count; i++)
		json_row(json, &rows[i]);
	ma_json_end_array(json);
	ma_json_end_object(json);
}

int ma_cmd_ps(const struct ma_options *options)
{
	struct ma_terminal terminal = ma_terminal_look(options->color);
	struct ma_client client = {.fd = -1};
	struct ma_error error = {0};
	Memattach__Reply *sessions = NULL;
	struct ma_text text = {0};
	struct ma_json json = {0};
	pid_t *pids;
	size_t count = 0, pid_count = list_pids(&pids);
	struct row *rows = ma_alloc(pid_count, sizeof *rows);
	/* The list is useful without the daemon; what is wrong with it is only a notice. */
	int code = ma_client_connect(&client, &error);
	if (!code)
		code = ma_client_sessions(&client, 0, &sessions, &error);
	if (code && code != MA_ERR_NO_PROCESS)
		ma_errors_print(&error);
	for (size_t i = 0; i < pid_count; i++)
		count += fill_row(&rows[count], pids[i], sessions);
	qsort(rows, count, sizeof *rows, by_memory);
	if (options->json)
		write_json(&json, rows, count);
	else
		write_table(&text, rows, count, &terminal);
	code = ma_output_print(options->json ? &json.text : &text, 0);
	ma_client_free_reply(sessions);
	ma_client_close(&client);
	ma_text_fini(&text);
	ma_text_fini(&json.text);
	free(rows);
	free(pids);
	return code;
}
