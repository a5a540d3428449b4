/* SPDX-License-Identifier: MIT */
/* memattach doctor [PID...]: every check of an attach, and what helps. */
#include "cli/cmd.h"

#include <stdio.h>
#include <string.h>

#include "cli/checks.h"
#include "cli/display.h"
#include "cli/errors.h"
#include "cli/json_out.h"
#include "cli/output.h"
#include "cli/terminal.h"

enum { NAME_COLUMNS = 24, MARK_COLUMNS = 6, INDENT = 2 };

/* What one doctor command writes. */
struct page {
	const struct ma_options *options;
	struct ma_terminal terminal;
	struct ma_text text;
	struct ma_json json;
	int exit_code;
};

static const struct {
	const char *mark;
	enum ma_style style;
} marks[] = {
	[MA_CHECK_OK] = {"ok", MA_STYLE_GOOD},
	[MA_CHECK_WARN] = {"warn", MA_STYLE_WARN},
	[MA_CHECK_FAIL] = {"FAIL", MA_STYLE_BAD},
	[MA_CHECK_SKIPPED] = {"-", MA_STYLE_FAINT},
};

/* Words broken at the width, continuation lines at `indent`; what is one word is never broken, so
 * that commands to paste stay whole as long as they fit. */
static void add_paragraph(struct page *page, const char *string, unsigned indent)
{
	struct ma_text escaped = {0};
	unsigned column = indent;
	ma_display_escape(&escaped, string);
	for (const char *next = ma_text_string(&escaped); *next;) {
		size_t length = strcspn(next, " ");
		char word[512];
		snprintf(word, sizeof word, "%.*s", (int)length, next);
		unsigned columns = ma_display_columns(word);
		if (column > indent && column + 1 + columns > page->terminal.width) {
			ma_text_add(&page->text, "\n");
			ma_text_repeat(&page->text, ' ', indent);
			column = indent;
		} else if (column > indent) {
			ma_text_add(&page->text, " ");
			column++;
		}
		ma_text_add(&page->text, word);
		column += columns;
		next += length + strspn(next + length, " ");
	}
	ma_text_add(&page->text, "\n");
	ma_text_fini(&escaped);
}

static void write_check(struct page *page, const struct ma_check *check)
{
	unsigned state = (unsigned)check->state < 4 ? (unsigned)check->state : MA_CHECK_SKIPPED;
	struct ma_text *text = &page->text;
	ma_text_repeat(text, ' ', INDENT);
	ma_style_begin(text, page->terminal.color, marks[state].style);
	ma_text_addf(text, "%-*s", MARK_COLUMNS, marks[state].mark);
	ma_style_end(text, page->terminal.color, marks[state].style);
	ma_text_addf(text, "%-*s  ", NAME_COLUMNS, check->name);
	size_t name_columns =
		strlen(check->name) > NAME_COLUMNS ? strlen(check->name) : NAME_COLUMNS;
	unsigned indent = INDENT + MARK_COLUMNS + NAME_COLUMNS + 2;
	if (name_columns > NAME_COLUMNS) {
		ma_text_add(text, "\n");
		ma_text_repeat(text, ' ', indent);
	}
	add_paragraph(page, check->found, indent);
	/* Lines of a remedy are to be pasted: as they are, unbroken. */
	for (const char *line = check->remedy; *line;) {
		char copy[sizeof check->remedy];
		size_t length = strcspn(line, "\n");
		snprintf(copy, sizeof copy, "%.*s", (int)length, line);
		ma_text_repeat(text, ' ', indent);
		ma_text_add(text, "-> ");
		ma_display_escape(text, copy);
		ma_text_add(text, "\n");
		line += length + (line[length] == '\n');
	}
}

static void json_check(struct ma_json *json, const struct ma_check *check)
{
	ma_json_begin_object(json, NULL);
	ma_json_string(json, "state", ma_checks_state_name(check->state));
	ma_json_string(json, "name", check->name);
	ma_json_string(json, "found", check->found);
	ma_json_string(json, "remedy", check->remedy);
	ma_json_end_object(json);
}

/* The head of a block, and the exit code that the attach would have. */
static int write_subject(struct page *page, pid_t pid, const struct ma_check *failed)
{
	struct ma_process process = {.pid = pid};
	struct ma_error error = {0};
	int code = pid ? ma_process_inspect(pid, &process, &error) : 0;
	ma_style_begin(&page->text, page->terminal.color, MA_STYLE_HEAD);
	if (!pid) {
		ma_text_add(&page->text, "this machine");
	} else {
		ma_text_addf(&page->text, "%d  ", (int)pid);
		ma_display_escape(
			&page->text,
			ma_display_command(process.command[0] ? process.command : process.exe));
	}
	ma_style_end(&page->text, page->terminal.color, MA_STYLE_HEAD);
	if (process.python_release[0])
		ma_text_addf(&page->text, "   %s%s", process.python_version ? "Python " : "",
			     process.python_release);
	ma_text_add(&page->text, "\n");
	if (!failed)
		return 0;
	if (!code)
		code = failed->code;
	return code ? ma_error_exit_code((enum ma_err)code) : 1;
}

static void examine(struct page *page, pid_t pid)
{
	struct ma_check checks[MA_CHECKS_MOST];
	int count = ma_doctor(pid, checks, MA_CHECKS_MOST);
	if (count > MA_CHECKS_MOST)
		count = MA_CHECKS_MOST;
	if (count < MA_CHECKS_MOST)
		count += ma_checks_own(checks + count, MA_CHECKS_MOST - count);
	const struct ma_check *failed = ma_checks_first_failed(checks, count);
	if (page->text.length)
		ma_text_add(&page->text, "\n");
	int code = write_subject(page, pid, failed);
	page->exit_code = ma_errors_first(page->exit_code, code);
	ma_json_begin_object(&page->json, NULL);
	if (pid)
		ma_json_integer(&page->json, "pid", pid);
	else
		ma_json_null(&page->json, "pid");
	ma_json_bool(&page->json, "possible", !failed);
	ma_json_begin_array(&page->json, "checks");
	for (int i = 0; i < count; i++) {
		write_check(page, &checks[i]);
		json_check(&page->json, &checks[i]);
	}
	ma_json_end_array(&page->json);
	ma_json_end_object(&page->json);
	if (failed)
		ma_text_addf(&page->text, "Attaching is not possible: %s.\n", failed->name);
	else if (pid)
		ma_text_addf(&page->text, "Attaching is possible: memattach %d\n", (int)pid);
	else
		ma_text_add(&page->text, "Nothing here stands in the way of attaching.\n");
}

int ma_cmd_doctor(const struct ma_options *options)
{
	struct page page = {.options = options, .terminal = ma_terminal_look(options->color)};
	ma_json_begin_object(&page.json, NULL);
	ma_json_string(&page.json, "schema", "memattach.doctor/1");
	ma_json_begin_array(&page.json, "subjects");
	if (!options->pid_count)
		examine(&page, 0);
	for (size_t i = 0; i < options->pid_count; i++)
		examine(&page, options->pids[i]);
	ma_json_end_array(&page.json);
	ma_json_end_object(&page.json);
	int code = ma_output_print(options->json ? &page.json.text : &page.text, page.exit_code);
	ma_text_fini(&page.text);
	ma_text_fini(&page.json.text);
	return code;
}
