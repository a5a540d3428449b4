/* SPDX-License-Identifier: MIT */
/* Errors in words; see errors.h. */
#include "cli/errors.h"

#include <string.h>
#include <unistd.h>

#include "cli/display.h"
#include "cli/output.h"

void ma_errors_write(struct ma_text *text, const struct ma_error *error)
{
	ma_text_add(text, "memattach: ");
	ma_display_escape(text, error->what);
	if (error->answer[0]) {
		ma_text_add(text, error->what[0] ? ": " : "");
		ma_display_escape(text, error->answer);
	}
	ma_text_add(text, "\n");
	for (const char *line = error->remedy; *line;) {
		char copy[sizeof error->remedy];
		size_t length = strcspn(line, "\n");
		memcpy(copy, line, length);
		copy[length] = '\0';
		ma_text_add(text, "  ");
		ma_display_escape(text, copy);
		ma_text_add(text, "\n");
		line += length + (line[length] == '\n');
	}
}

int ma_errors_print(const struct ma_error *error)
{
	struct ma_text text = {0};
	struct ma_error ignored;
	ma_errors_write(&text, error);
	ma_output_write_all(STDERR_FILENO, text.data, text.length, "an error", &ignored);
	ma_text_fini(&text);
	return ma_error_exit_code(error->code);
}

void ma_errors_json(struct ma_json *json, int pid, const struct ma_error *error)
{
	ma_json_begin_object(json, NULL);
	if (pid)
		ma_json_integer(json, "pid", pid);
	else
		ma_json_null(json, "pid");
	ma_json_integer(json, "exit", ma_error_exit_code(error->code));
	ma_json_string(json, "what", error->what);
	ma_json_string(json, "answer", error->answer);
	ma_json_string(json, "remedy", error->remedy);
	ma_json_end_object(json);
}

void ma_errors_json_list(struct ma_json *json, const struct ma_targets *targets)
{
	ma_json_begin_array(json, "errors");
	for (size_t i = 0; i < targets->count; i++)
		if (targets->list[i].error.code)
			ma_errors_json(json, targets->list[i].pid, &targets->list[i].error);
	ma_json_end_array(json);
}

int ma_errors_first(int earlier, int later)
{
	return earlier ? earlier : later;
}
