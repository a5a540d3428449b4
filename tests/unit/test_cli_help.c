/* SPDX-License-Identifier: MIT */
/* The help texts: they come from the table, fit a terminal, and promise nothing that is not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>

#include "cli/help.h"
#include "cli/options.h"

static void assert_lines_fit(const char *text)
{
	for (const char *line = text; *line;) {
		size_t length = strcspn(line, "\n");
		if (length > 100)
			fail_msg("%zu columns: %.*s", length, (int)length, line);
		line += length + (line[length] == '\n');
	}
}

/* Every option of a command is in its help, and no other option is. */
static void test_each_command_lists_its_options(void **state)
{
	(void)state;
	for (int id = 0; id < MA_COMMANDS; id++) {
		struct ma_text text = {0};
		ma_help_write(&text, &ma_commands[id]);
		assert_lines_fit(text.data);
		for (size_t i = 0; i < ma_options_table_count; i++) {
			const struct ma_option *option = &ma_options_table[i];
			/* At the start of a line of its own, not just mentioned. */
			char letter[8] = "    ", line[80];
			if (option->letter)
				snprintf(letter, sizeof letter, "-%c, ", option->letter);
			snprintf(line, sizeof line, "\n  %s--%s%c", letter, option->name, ' ');
			int has = option->commands >> id & 1;
			int found = strstr(text.data, line) != NULL;
			if (found != has)
				fail_msg("%s --help and --%s", ma_commands[id].name, option->name);
		}
		ma_text_fini(&text);
	}
}

static void test_overview_lists_every_command(void **state)
{
	(void)state;
	struct ma_text text = {0};
	ma_help_write(&text, NULL);
	assert_lines_fit(text.data);
	for (int id = 0; id < MA_COMMANDS; id++) {
		char line[64];
		snprintf(line, sizeof line, "\n  memattach%s%s", ma_commands[id].name[0] ? " " : "",
			 ma_commands[id].name);
		assert_non_null(strstr(text.data, line));
		assert_non_null(strstr(text.data, ma_commands[id].summary));
	}
	ma_text_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_command_lists_its_options),
		cmocka_unit_test(test_overview_lists_every_command),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
