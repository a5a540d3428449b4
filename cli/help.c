/* SPDX-License-Identifier: MIT */
/* Help texts. There is one source for them and the parser: the two tables. */
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "cli/options.h"

enum { HELP_COLUMN = 30, USAGE_COLUMN = 37, HELP_WIDTH = 96 };

/* Adds words, broken at HELP_WIDTH, with continuation lines at HELP_COLUMN. */
static void add_wrapped(struct ma_text *text, const char *words)
{
	size_t column = HELP_COLUMN;
	while (*words) {
		size_t length = strcspn(words, " ");
		if (column > HELP_COLUMN && column + 1 + length > HELP_WIDTH) {
			ma_text_addf(text, "\n%*s", HELP_COLUMN, "");
			column = HELP_COLUMN;
		} else if (column > HELP_COLUMN) {
			ma_text_add(text, " ");
			column++;
		}
		ma_text_add_bytes(text, words, length);
		column += length;
		words += length + strspn(words + length, " ");
	}
	ma_text_add(text, "\n");
}

static void add_option(struct ma_text *text, const struct ma_option *option)
{
	char left[64], letter[8] = "    ";
	if (option->letter)
		snprintf(letter, sizeof letter, "-%c, ", option->letter);
	snprintf(left, sizeof left, "  %s--%s%s%s", letter, option->name,
		 option->argument ? " " : "", option->argument ? option->argument : "");
	ma_text_addf(text, "%-*s", HELP_COLUMN, left);
	if (strlen(left) >= HELP_COLUMN)
		ma_text_addf(text, "\n%*s", HELP_COLUMN, "");
	add_wrapped(text, option->help);
}

static void add_options(struct ma_text *text, const struct ma_command *command)
{
	ma_text_add(text, "\nOptions:\n");
	for (size_t i = 0; i < ma_options_table_count; i++)
		if (ma_options_table[i].commands >> command->id & 1)
			add_option(text, &ma_options_table[i]);
}

static void add_exit_codes(struct ma_text *text)
{
	ma_text_add(text,
		    "\nExit codes: 0 done, 1 failed, 2 usage, 3 not permitted, 4 not a Python "
		    "that is supported,\n5 no such process or it ended, 6 refused as unsafe now "
		    "(nothing touched), 130 second Ctrl-C.\n");
}

static void add_usage(struct ma_text *text, const struct ma_command *command)
{
	ma_text_addf(text, "  memattach%s%s%s%s", command->name[0] ? " " : "", command->name,
		     command->arguments[0] ? " " : "", command->arguments);
}

void ma_help_write(struct ma_text *text, const struct ma_command *command)
{
	if (command) {
		ma_text_add(text, "Usage:\n");
		add_usage(text, command);
		ma_text_addf(text, "\n\n%s\n", command->details);
		add_options(text, command);
		add_exit_codes(text);
		return;
	}
	ma_text_add(text, "memattach " MA_RELEASE
			  ": attach to a live Python process and see its heap\n\n");
	ma_text_add(text, "Usage:\n");
	for (int i = 0; i < MA_COMMANDS; i++) {
		struct ma_text left = {0};
		add_usage(&left, &ma_commands[i]);
		ma_text_addf(text, "%-*s  %s\n", USAGE_COLUMN, ma_text_string(&left),
			     ma_commands[i].summary);
		ma_text_fini(&left);
	}
	ma_text_add(text,
		    "\nSizes are read as 64KiB or 64KB, durations as 10s, 5m, 1h or 0. Results go "
		    "to stdout,\nprogress and notices to stderr.\n");
	add_options(text, &ma_commands[MA_COMMAND_SUMMARY]);
	ma_text_add(text, "\n`memattach COMMAND --help` lists what a command understands.\n");
	add_exit_codes(text);
}
