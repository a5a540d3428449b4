/* SPDX-License-Identifier: MIT */
/*
 * Parsing by the table of options_table.c. A word that is neither an option nor a number is the
 * command if it comes first; options are checked against the command once that is known, because
 * they may stand before it.
 */
#include "cli/options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc.h"
#include "cli/quantity.h"
#include "cli/size_classes.h"
#include "cli/suggest.h"
#include "proto/area.h"

enum { SAMPLE_LEAST = 4 << 10, SAMPLE_DEFAULT = 64 << 10, SAMPLE_MOST = 64 << 20 };

struct parser {
	struct ma_options *options;
	int count;
	char *const *arguments;
	int next;
	uint64_t seen; /* bit per row of the table */
	bool operands; /* a PID or command was seen */
	struct ma_error *error;
};

static int usage(struct ma_error *error, const char *answer, const char *what, const char *detail)
{
	ma_error_set(error, MA_ERR_USAGE, 0, "%s%.100s", what, detail);
	ma_error_answer(error, "%s", answer);
	return MA_ERR_USAGE;
}

/* Puts the option's name in front of what a quantity's reader said about its value. */
static int blame(struct parser *parser, const struct ma_option *option, const char *value)
{
	ma_error_set(parser->error, MA_ERR_USAGE, 0, "--%s %.80s", option->name,
		     value[0] ? value : "''");
	return MA_ERR_USAGE;
}

static int add_pid(struct parser *parser, const char *string)
{
	struct ma_options *options = parser->options;
	pid_t pid;
	int code = ma_quantity_pid(string, &pid, parser->error);
	if (code)
		return code;
	parser->operands = true;
	for (size_t i = 0; i < options->pid_count; i++)
		if (options->pids[i] == pid)
			return 0;
	options->pids =
		ma_alloc_grow(options->pids, options->pid_count + 1, sizeof options->pids[0]);
	options->pids[options->pid_count++] = pid;
	return 0;
}

static int read_sample(struct ma_options *options, const char *value, struct ma_error *error)
{
	uint64_t bytes;
	options->sample_given = true;
	if (strcmp(value, "exact") == 0) {
		options->sample.mode = MA_MODE_EXACT;
		return 0;
	}
	if (value[0] == '{') {
		options->sample = (struct ma_sample_choice){.mode = MA_MODE_CLASSES, .fixed = true};
		return ma_size_classes_parse(value, options->sample.size_rates,
					     &options->sample.size_rate_count, error);
	}
	int code = ma_quantity_size(value, &bytes, error);
	if (code) {
		ma_error_answer(error, "neither a size, as in 64KiB, nor the word exact, nor size "
				       "classes, as in '{128: 1e-4, 8192: 0.1}'");
		return code;
	}
	if (bytes < SAMPLE_LEAST || bytes > SAMPLE_MOST)
		return usage(error, "the mean distance of samples is 4KiB to 64MiB, or exact", "",
			     "");
	options->sample = (struct ma_sample_choice){
		.mode = MA_MODE_SAMPLED, .interval_bytes = (uint32_t)bytes, .fixed = true};
	return 0;
}

static int read_color(enum ma_color *color, const char *value, struct ma_error *error)
{
	static const char *const names[] = {"auto", "always", "never"};
	for (unsigned i = 0; i < 3; i++) {
		if (strcmp(names[i], value) == 0) {
			*color = (enum ma_color)i;
			return 0;
		}
	}
	return usage(error, "expected auto, always or never", "", "");
}

static int store(struct parser *parser, const struct ma_option *option, const char *value)
{
	struct ma_options *options = parser->options;
	void *field = (char *)options + option->offset;
	struct ma_error error = {0};
	int code = 0;
	switch (option->kind) {
	case MA_OPTION_FLAG:
		*(bool *)field = true;
		break;
	case MA_OPTION_PID:
		return add_pid(parser, value);
	case MA_OPTION_SAMPLE:
		code = read_sample(options, value, &error);
		break;
	case MA_OPTION_PERCENT:
		code = ma_quantity_percent(value, field, &error);
		break;
	case MA_OPTION_DURATION:
		code = ma_quantity_duration(value, field, &error);
		break;
	case MA_OPTION_COUNT:
		code = ma_quantity_count(value, field, &error);
		break;
	case MA_OPTION_TEXT:
		*(const char **)field = value;
		if (!value[0])
			code = usage(&error, "must not be empty", "", "");
		break;
	case MA_OPTION_COLOR:
		code = read_color(field, value, &error);
		break;
	}
	if (code) {
		blame(parser, option, value);
		ma_error_answer(parser->error, "%s", error.answer);
	}
	return code;
}

static int unknown_option(struct parser *parser, const char *word)
{
	const char *suggestion = NULL;
	unsigned best = ~0u;
	size_t length = strcspn(word, "=");
	char name[32] = "";
	if (length < sizeof name)
		memcpy(name, word, length);
	for (size_t i = 0; i < ma_options_table_count; i++)
		if (ma_suggest_better(name + strspn(name, "-"), ma_options_table[i].name, &best))
			suggestion = ma_options_table[i].name;
	ma_error_set(parser->error, MA_ERR_USAGE, 0, "%.80s", word);
	ma_error_answer(parser->error, "there is no such option");
	if (suggestion)
		ma_error_remedy(parser->error, "Did you mean --%s?", suggestion);
	return MA_ERR_USAGE;
}

/* Stores an option whose value is `value`, or the next argument when that is NULL and one is
 * needed. */
static int take(struct parser *parser, const struct ma_option *option, const char *value)
{
	parser->seen |= UINT64_C(1) << (option - ma_options_table);
	if (!option->argument && value)
		return blame(parser, option, value),
		       ma_error_answer(parser->error, "this option takes no value"), MA_ERR_USAGE;
	if (option->argument && !value) {
		if (parser->next >= parser->count) {
			ma_error_set(parser->error, MA_ERR_USAGE, 0, "--%s", option->name);
			ma_error_answer(parser->error, "the value is missing: --%s %s",
					option->name, option->argument);
			return MA_ERR_USAGE;
		}
		value = parser->arguments[parser->next++];
	}
	return store(parser, option, value);
}

static int take_long(struct parser *parser, const char *word)
{
	size_t length = strcspn(word + 2, "=");
	const char *value = word[2 + length] ? word + 2 + length + 1 : NULL;
	for (size_t i = 0; i < ma_options_table_count; i++) {
		const struct ma_option *option = &ma_options_table[i];
		if (strlen(option->name) == length && memcmp(option->name, word + 2, length) == 0)
			return take(parser, option, value);
	}
	return unknown_option(parser, word);
}

static int take_letters(struct parser *parser, const char *word)
{
	if (isdigit((unsigned char)word[1]))
		return ma_quantity_pid(word, &(pid_t){0}, parser->error);
	for (const char *letter = word + 1; *letter; letter++) {
		const struct ma_option *option = NULL;
		for (size_t i = 0; i < ma_options_table_count && !option; i++)
			if (ma_options_table[i].letter == *letter)
				option = &ma_options_table[i];
		if (!option)
			return unknown_option(parser, word);
		if (option->argument && letter[1])
			return take(parser, option, letter[1] == '=' ? letter + 2 : letter + 1);
		int code = take(parser, option, NULL);
		if (code)
			return code;
	}
	return 0;
}

static int unknown_command(struct parser *parser, const char *word)
{
	const char *suggestion = NULL;
	unsigned best = ~0u;
	for (int i = 0; i < MA_COMMANDS; i++)
		if (ma_commands[i].name[0] && ma_suggest_better(word, ma_commands[i].name, &best))
			suggestion = ma_commands[i].name;
	ma_error_set(parser->error, MA_ERR_USAGE, 0, "'%.60s'", word);
	ma_error_answer(parser->error, "neither a command nor a process id");
	if (suggestion)
		ma_error_remedy(parser->error, "Did you mean `memattach %s`?", suggestion);
	else
		ma_error_remedy(parser->error, "`memattach --help` lists the commands.");
	return MA_ERR_USAGE;
}

static int take_operand(struct parser *parser, const char *word)
{
	struct ma_options *options = parser->options;
	if (options->command || parser->operands || isdigit((unsigned char)word[0]) ||
	    word[0] == '-' || word[0] == '+')
		return add_pid(parser, word);
	if (strcmp(word, "help") == 0) {
		options->help = true;
		return 0;
	}
	options->command = ma_command_find(word);
	parser->operands = true;
	return options->command ? 0 : unknown_command(parser, word);
}

/* Options that were given must be the command's. */
static int check_seen(const struct parser *parser)
{
	const struct ma_command *command = parser->options->command;
	for (size_t i = 0; i < ma_options_table_count; i++) {
		const struct ma_option *option = &ma_options_table[i];
		if (!(parser->seen >> i & 1) || option->commands >> command->id & 1)
			continue;
		ma_error_set(parser->error, MA_ERR_USAGE, 0, "--%s", option->name);
		ma_error_answer(parser->error, "`memattach%s%s` has no such option",
				command->name[0] ? " " : "",
				command->name[0] ? command->name : " PID");
		return MA_ERR_USAGE;
	}
	return 0;
}

static bool was_seen(const struct parser *parser, const char *name)
{
	for (size_t i = 0; i < ma_options_table_count; i++)
		if (strcmp(ma_options_table[i].name, name) == 0)
			return parser->seen >> i & 1;
	return false;
}

static int check_pids(const struct ma_options *options, struct ma_error *error)
{
	const char *name = options->command->name;
	switch (options->command->pids) {
	case MA_PIDS_NONE:
		if (options->pid_count)
			return usage(error, "this command takes no PID", "memattach ", name);
		break;
	case MA_PIDS_ONE:
		if (options->pid_count > 1)
			return usage(error, "one process at a time", "memattach ", name);
		/* fall through */
	case MA_PIDS_REQUIRED:
		if (!options->pid_count)
			return usage(error,
				     "which process? Give its PID (`memattach ps` lists them)",
				     "memattach ", name);
		break;
	case MA_PIDS_OPTIONAL:
		break;
	}
	return 0;
}

/* Options that are fine one by one and make no sense together. */
static int check_together(const struct parser *parser)
{
	const struct ma_options *options = parser->options;
	const struct {
		bool wrong;
		const char *what, *answer;
	} rules[] = {
		{options->all && options->pid_count, "--all with a PID", "give one or the other"},
		{options->command->id == MA_COMMAND_DETACH && !options->all && !options->pid_count,
		 "memattach detach", "which process? Give its PID, or --all"},
		{options->sample_given && was_seen(parser, "overhead"), "--sample with --overhead",
		 "--sample fixes what is sampled, --overhead lets it vary: give one or the other"},
		{was_seen(parser, "interval") && !options->interval_ms, "--interval 0",
		 "must be more than 0, as in 2s"},
		{options->command->id == MA_COMMAND_STACKS && was_seen(parser, "interval") &&
			 !was_seen(parser, "repeat"),
		 "stacks --interval", "say how often, too: --repeat N"},
		{was_seen(parser, "duration") && !options->duration_ms, "--duration 0",
		 "must be more than 0, as in 10m"},
		{options->native && options->no_native, "--native with --no-native",
		 "give one or the other"},
		{options->debuginfod && options->no_native, "--debuginfod with --no-native",
		 "debug files are for native frames: give one or the other"},
		{options->once && options->duration_ms, "--once with --duration",
		 "--once detaches as soon as it is done, --duration later: give one or the other"},
		{options->keep && (options->once || options->duration_ms),
		 "--keep with --once or --duration", "one keeps tracking, the other ends it"},
		{options->quiet && options->verbose, "--quiet with --verbose",
		 "give one or the other"},
		{options->stop && (was_seen(parser, "idle") || was_seen(parser, "log")),
		 "--stop with --idle or --log", "these are for the daemon that is to run"},
		{options->command->id == MA_COMMAND_DUMP && options->json &&
			 (!options->output || strcmp(options->output, "-") == 0),
		 "dump --json", "stdout takes the snapshot; add -o FILE to print a description"},
	};
	for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
		if (rules[i].wrong)
			return usage(parser->error, rules[i].answer, rules[i].what, "");
	return 0;
}

static int check(struct parser *parser)
{
	struct ma_options *options = parser->options;
	if (!options->command) {
		bool bare = !options->pid_count;
		options->command = &ma_commands[bare ? MA_COMMAND_PS : MA_COMMAND_SUMMARY];
		/* `memattach --once` forgot the PID rather than meant `memattach ps --once`. */
		if (bare && check_seen(parser))
			options->command = &ma_commands[MA_COMMAND_SUMMARY];
	}
	if (options->live && options->command->id == MA_COMMAND_SUMMARY)
		options->command = &ma_commands[MA_COMMAND_LIVE];
	options->wait_given = was_seen(parser, "wait");
	int code = check_seen(parser);
	if (!code)
		code = check_together(parser);
	return code ? code : check_pids(options, parser->error);
}

int ma_options_parse(struct ma_options *options, int count, char *const *arguments,
		     struct ma_error *error)
{
	*options = (struct ma_options){
		.sample = {.mode = MA_MODE_SAMPLED, .interval_bytes = SAMPLE_DEFAULT},
		.overhead_ratio = 0.02,
		.wait_ms = 10000,
		.top = 10,
	};
	struct parser parser = {
		.options = options, .count = count, .arguments = arguments, .error = error};
	bool ended = false;
	while (parser.next < count) {
		const char *word = arguments[parser.next++];
		int code;
		if (!ended && strcmp(word, "--") == 0) {
			ended = true;
			continue;
		}
		if (ended || word[0] != '-' || !word[1])
			code = take_operand(&parser, word);
		else if (word[1] == '-')
			code = take_long(&parser, word);
		else
			code = take_letters(&parser, word);
		if (code && !options->help && !options->version)
			return code;
	}
	return options->help || options->version ? 0 : check(&parser);
}

void ma_options_fini(struct ma_options *options)
{
	free(options->pids);
	options->pids = NULL;
	options->pid_count = 0;
}
