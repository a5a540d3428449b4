/* SPDX-License-Identifier: MIT */
/* memattach stacks PID: what every thread does now, Python and native, without a hook. */
#include "cli/cmd.h"

#include <string.h>

#include "cli/errors.h"
#include "cli/format.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/stacks_view.h"

enum { INTERVAL_MS = 1000 };

/* Adds a document as one line: without its line breaks and what indents after them. */
static void add_joined(struct ma_text *text, const char *document)
{
	while (*document) {
		size_t length = strcspn(document, "\n");
		ma_text_add_bytes(text, document, length);
		document += length;
		document += strspn(document, "\n ");
	}
	ma_text_add(text, "\n");
}

/* Prints why there is no picture. */
static int print_error(const struct ma_options *options, const struct ma_error *error)
{
	struct ma_text text = {0};
	struct ma_json json = {0};
	int code = ma_errors_print(error);
	if (!options->json)
		return code;
	ma_stacks_view_json_error(&json, options->pids[0], error);
	if (options->repeat)
		add_joined(&text, ma_text_string(&json.text));
	else
		ma_text_add(&text, ma_text_string(&json.text));
	code = ma_output_print(&text, code);
	ma_text_fini(&text);
	ma_text_fini(&json.text);
	return code;
}

/* Takes one picture and prints it. *failed is not 0 when it could not be taken. */
static int print_picture(struct ma_stacks_session *session, const struct ma_options *options,
			 bool first, int *failed)
{
	const struct ma_stacks *stacks;
	struct ma_error error = {0};
	uint64_t taken_ns = ma_format_now_ns();
	*failed = ma_stacks_take(session, !options->no_native, &stacks, &error);
	if (*failed)
		return print_error(options, &error);
	if (stacks->prolonged && !options->quiet)
		ma_output_notice("%d: %u waiting system calls were started over with their whole "
				 "timeout",
				 (int)options->pids[0], stacks->prolonged);
	const struct ma_process *process = ma_stacks_process(session);
	struct ma_text text = {0};
	if (options->json) {
		struct ma_json json = {0};
		ma_stacks_view_json(&json, process, stacks, taken_ns);
		if (options->repeat)
			add_joined(&text, ma_text_string(&json.text));
		else
			ma_text_add(&text, ma_text_string(&json.text));
		ma_text_fini(&json.text);
	} else {
		struct ma_terminal terminal = ma_terminal_look(options->color);
		if (!first)
			ma_text_add(&text, "\n");
		ma_stacks_view_write(&text, &terminal, process, stacks, taken_ns);
	}
	int code = ma_output_print(&text, 0);
	ma_text_fini(&text);
	return code;
}

int ma_cmd_stacks(const struct ma_options *options)
{
	struct ma_stacks_session *session;
	struct ma_error error = {0};
	unsigned times = options->repeat ? options->repeat : 1;
	uint64_t interval_ms = options->interval_ms ? options->interval_ms : INTERVAL_MS;
	ma_interrupt_init();
	if (ma_stacks_open(options->pids[0], &session, &error))
		return print_error(options, &error);
	int code = 0, failed = 0;
	for (unsigned i = 0; i < times && !code && !failed; i++) {
		if (i)
			ma_interrupt_sleep_ms(interval_ms);
		if (ma_interrupt_seen())
			break;
		code = print_picture(session, options, !i, &failed);
	}
	ma_stacks_close(session);
	return code;
}
