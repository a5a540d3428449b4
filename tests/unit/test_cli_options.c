/* SPDX-License-Identifier: MIT */
/* The parser of the command line: what it understands, and what it refuses with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "cli/debuginfod.h"
#include "cli/options.h"
#include "proto/area.h"

enum { MOST_WORDS = 16 };

/* Parses a line of words that are separated by single spaces; "''" is the empty word. */
static int parse(const char *line, struct ma_options *options, struct ma_error *error)
{
	static char copy[512];
	static char *words[MOST_WORDS];
	int count = 0;
	memset(error, 0, sizeof *error);
	snprintf(copy, sizeof copy, "%s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		words[count++] = strcmp(word, "''") == 0 ? word + 2 : word;
	return ma_options_parse(options, count, words, error);
}

static struct ma_options accept(const char *line)
{
	struct ma_options options;
	struct ma_error error;
	if (parse(line, &options, &error))
		fail_msg("'%s' was refused: %s: %s", line, error.what, error.answer);
	return options;
}

static void assert_pids(const struct ma_options *options, const char *expected)
{
	char found[128] = "";
	for (size_t i = 0; i < options->pid_count; i++)
		snprintf(found + strlen(found), sizeof found - strlen(found), "%s%d", i ? " " : "",
			 (int)options->pids[i]);
	assert_string_equal(found, expected);
}

static void test_commands(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum ma_command_id command;
		const char *pids;
	} cases[] = {
		{"", MA_COMMAND_PS, ""},
		{"--json", MA_COMMAND_PS, ""},
		{"ps", MA_COMMAND_PS, ""},
		{"42", MA_COMMAND_SUMMARY, "42"},
		{"42 43 42", MA_COMMAND_SUMMARY, "42 43"},
		{"-p 42", MA_COMMAND_SUMMARY, "42"},
		{"--children 42 --once", MA_COMMAND_SUMMARY, "42"},
		{"-q attach 42", MA_COMMAND_ATTACH, "42"},
		{"attach -p42 --pid=43 44", MA_COMMAND_ATTACH, "42 43 44"},
		{"attach -- 42", MA_COMMAND_ATTACH, "42"},
		{"detach --all", MA_COMMAND_DETACH, ""},
		{"status", MA_COMMAND_STATUS, ""},
		{"dump 42", MA_COMMAND_DUMP, "42"},
		{"dump -o f 42", MA_COMMAND_DUMP, "42"},
		{"stacks 42", MA_COMMAND_STACKS, "42"},
		{"stacks --repeat 3 --interval 1s --no-native -p 42", MA_COMMAND_STACKS, "42"},
		{"doctor", MA_COMMAND_DOCTOR, ""},
		{"daemon", MA_COMMAND_DAEMON, ""},
		{"2147483647", MA_COMMAND_SUMMARY, "2147483647"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct ma_options options = accept(cases[i].line);
		assert_int_equal(options.command->id, cases[i].command);
		assert_pids(&options, cases[i].pids);
		ma_options_fini(&options);
	}
}

static void test_defaults(void **state)
{
	(void)state;
	struct ma_options options = accept("42");
	assert_int_equal(options.sample.mode, MA_MODE_SAMPLED);
	assert_int_equal(options.sample.interval_bytes, 65536);
	assert_false(options.sample.fixed);
	assert_true(options.overhead_ratio == 0.02);
	assert_int_equal(options.wait_ms, 10000);
	assert_int_equal(options.duration_ms, 0);
	assert_int_equal(options.top, 10);
	assert_int_equal(options.color, MA_COLOR_AUTO);
	ma_options_fini(&options);
}

static void test_values_on_either_side(void **state)
{
	(void)state;
	static const char *const lines[] = {
		"--sample 512KiB --wait 5m -n 3 42 --color never",
		"42 --sample=512KiB --wait=5m --top=3 --color=never",
		"--color=never -n3 42 --wait 300s --sample 524288",
		"-n=3 -p 42 --color never --wait 300000ms --sample 0.5MiB",
	};
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		struct ma_options options = accept(lines[i]);
		assert_int_equal(options.sample.interval_bytes, 512 << 10);
		assert_true(options.sample.fixed);
		assert_int_equal(options.wait_ms, 300000);
		assert_int_equal(options.top, 3);
		assert_int_equal(options.color, MA_COLOR_NEVER);
		assert_pids(&options, "42");
		ma_options_fini(&options);
	}
	struct ma_options exact = accept("attach 42 --sample exact --keep");
	assert_int_equal(exact.sample.mode, MA_MODE_EXACT);
	assert_true(exact.keep);
	ma_options_fini(&exact);
	struct ma_options flags = accept("-vp 42 --overhead=0.5%");
	assert_true(flags.verbose);
	assert_true(flags.overhead_ratio > 0.00499 && flags.overhead_ratio < 0.00501);
	ma_options_fini(&flags);
}

static void test_help_and_version_win(void **state)
{
	(void)state;
	struct ma_options options = accept("dump --help");
	assert_true(options.help);
	assert_int_equal(options.command->id, MA_COMMAND_DUMP);
	options = accept("--help dump");
	assert_int_equal(options.command->id, MA_COMMAND_DUMP);
	options = accept("help dump");
	assert_true(options.help);
	assert_int_equal(options.command->id, MA_COMMAND_DUMP);
	options = accept("--help");
	assert_null(options.command);
	options = accept("-V");
	assert_true(options.version);
}

/* Every nonsense is refused, and the message names it and says what would be right. */
static void test_nonsense(void **state)
{
	(void)state;
	static const struct {
		const char *line, *what, *answer;
	} cases[] = {
		{"--sample 0 42", "--sample 0", "neither a size"},
		{"--sample 1KiB 42", "--sample 1KiB", "4KiB to 64MiB"},
		{"--sample 65MiB 42", "--sample 65MiB", "4KiB to 64MiB"},
		{"--sample lots 42", "--sample lots", "exact"},
		{"--sample '' 42", "--sample ''", "exact"},
		{"--sample", "--sample", "the value is missing"},
		{"--wait -1 42", "--wait -1", "not a duration"},
		{"--wait=-1s 42", "--wait -1s", "not a duration"},
		{"--wait 1e99 42", "--wait 1e99", "not a duration"},
		{"--wait 99999d 42", "--wait 99999d", "not a duration"},
		{"--overhead 0% 42", "--overhead 0%", "above 0"},
		{"--overhead 101% 42", "--overhead 101%", "up to 100"},
		{"--top 0 42", "--top 0", "from 1"},
		{"--duration 0 42", "--duration 0", "more than 0"},
		{"--color red 42", "--color red", "auto, always or never"},
		{"--json=yes", "--json yes", "takes no value"},
		{"--sampel 64KiB 42", "--sampel", "no such option"},
		{"-Z", "-Z", "no such option"},
		{"attach", "memattach attach", "which process"},
		{"--once", "memattach ", "which process"},
		{"attach 0", "'0'", "not a process id"},
		{"attach -5", "'-5'", "not a process id"},
		{"-5", "'-5'", "not a process id"},
		{"attach 4294967296", "'4294967296'", "not a process id"},
		{"attach 99999999999999999999", "'99999999999999999999'", "not a process id"},
		{"12x", "'12x'", "not a process id"},
		{"attach ''", "''", "not a process id"},
		{"attach two", "'two'", "not a process id"},
		{"42 status", "'status'", "not a process id"},
		{"statsu", "'statsu'", "neither a command nor a process id"},
		{"ps 42", "memattach ps", "takes no PID"},
		{"dump", "memattach dump", "which process"},
		{"dump 42 43", "memattach dump", "one process at a time"},
		{"dump 42 --json", "dump --json", "-o FILE"},
		{"dump 42 -o ''", "--output ''", "empty"},
		{"detach", "memattach detach", "--all"},
		{"detach --all 42", "--all with a PID", "one or the other"},
		{"ps --sample exact", "--sample", "`memattach ps` has no such option"},
		{"42 --all", "--all", "`memattach PID` has no such option"},
		{"--sample exact --overhead 2% 42", "--sample with --overhead", "one or the other"},
		{"--once --duration 5m 42", "--once with --duration", "one or the other"},
		{"--once --keep 42", "--keep with", "ends it"},
		{"-q -v 42", "--quiet with", "one or the other"},
		{"--debuginfod --no-native 42", "--debuginfod with", "one or the other"},
		{"stacks --debuginfod 42", "--debuginfod", "`memattach stacks` has no such option"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct ma_options options;
		struct ma_error error;
		if (parse(cases[i].line, &options, &error) != MA_ERR_USAGE)
			fail_msg("'%s' was accepted", cases[i].line);
		if (!strstr(error.what, cases[i].what) || !strstr(error.answer, cases[i].answer))
			fail_msg("'%s': %s: %s", cases[i].line, error.what, error.answer);
		assert_int_equal(error.code, MA_ERR_USAGE);
		ma_options_fini(&options);
	}
}

/* Refused by a program that cannot load a library, and where there are no servers. */
static void test_debuginfod(void **state)
{
	(void)state;
	struct ma_options options = accept("--debuginfod 42"), without = accept("42");
	struct ma_error error;
	unsetenv("DEBUGINFOD_URLS");
	assert_int_equal(ma_debuginfod_check(&without, false, &error), 0);
	assert_int_equal(ma_debuginfod_check(&options, true, &error), MA_ERR_USAGE);
	assert_non_null(strstr(error.answer, "DEBUGINFOD_URLS is not set"));
	setenv("DEBUGINFOD_URLS", "http://localhost:1", 1);
	assert_int_equal(ma_debuginfod_check(&options, true, &error), 0);
	assert_int_equal(ma_debuginfod_check(&options, false, &error), MA_ERR_USAGE);
	assert_non_null(strstr(error.answer, "static build"));
	assert_non_null(strstr(error.remedy, "-DMA_DYNAMIC=ON"));
	ma_options_fini(&options);
	ma_options_fini(&without);
}

static void test_suggestions(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"--sampel 64KiB 42", "--sample"}, {"--child 42", "--children"},
		{"--wiat=3 42", "--wait"},         {"attahc 42", "memattach attach"},
		{"stat", "memattach status"},      {"docter", "memattach doctor"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct ma_options options;
		struct ma_error error;
		assert_int_equal(parse(cases[i][0], &options, &error), MA_ERR_USAGE);
		assert_non_null(strstr(error.remedy, cases[i][1]));
		ma_options_fini(&options);
	}
	struct ma_options options;
	struct ma_error error;
	assert_int_equal(parse("--zzzzzzzz", &options, &error), MA_ERR_USAGE);
	assert_string_equal(error.remedy, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values_on_either_side),
		cmocka_unit_test(test_help_and_version_win),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_suggestions),
		cmocka_unit_test(test_debuginfod),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
