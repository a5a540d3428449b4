/* SPDX-License-Identifier: MIT */
/*
 * The one parser of the command line, driven by one table that the help texts are made from too.
 * Options may stand on either side of PIDs and commands: --option=value, --option value, -o value,
 * -ovalue, -qv; "--" ends them.
 */
#ifndef MA_CLI_OPTIONS_H
#define MA_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "cli/commands.h"
#include "proto/area.h"
#include "proto/error.h"

enum ma_color { MA_COLOR_AUTO, MA_COLOR_ALWAYS, MA_COLOR_NEVER };

/* --sample: how allocations are chosen. */
struct ma_sample_choice {
	uint32_t mode;           /* enum ma_mode */
	uint32_t interval_bytes; /* first R */
	bool fixed;              /* a size or size classes were given: do not steer */
	uint32_t size_rate_count;
	struct ma_size_rate size_rates[MA_SIZE_RATES]; /* mode MA_MODE_CLASSES */
};

/* What was asked for. Strings are borrowed from argv. */
struct ma_options {
	const struct ma_command *command;
	pid_t *pids; /* owned, without repetitions */
	size_t pid_count;
	bool children, json, force, trust_seccomp, once, keep, all, forget, stop;
	bool quiet, verbose, help, version;
	bool native, no_native; /* as asked for; by default it depends on the mode */
	bool debuginfod;
	bool live; /* --live: the command of that name */
	bool wait_given, sample_given;
	struct ma_sample_choice sample;
	double overhead_ratio;
	uint64_t wait_ms;
	uint64_t duration_ms; /* 0: none */
	uint64_t interval_ms; /* between two pictures of the live view; 0: the usual */
	uint64_t idle_ms;     /* 0: never leave */
	unsigned top;
	unsigned repeat;    /* 0: once */
	const char *output; /* NULL: stdout */
	const char *log;
	enum ma_color color;
};

enum ma_option_kind {
	MA_OPTION_FLAG,     /* bool */
	MA_OPTION_PID,      /* adds to pids */
	MA_OPTION_SAMPLE,   /* struct ma_sample_choice */
	MA_OPTION_PERCENT,  /* double */
	MA_OPTION_DURATION, /* uint64_t, milliseconds */
	MA_OPTION_COUNT,    /* unsigned */
	MA_OPTION_TEXT,     /* const char * */
	MA_OPTION_COLOR,    /* enum ma_color */
};

struct ma_option {
	const char *name; /* without dashes */
	char letter;      /* 0: none */
	enum ma_option_kind kind;
	const char *argument; /* NULL for flags */
	size_t offset;        /* in struct ma_options */
	unsigned commands;    /* bit per enum ma_command_id */
	const char *help;
};

extern const struct ma_option ma_options_table[];
extern const size_t ma_options_table_count;

/* Fills *options from the arguments behind the program's name. 0 or MA_ERR_USAGE. With help or
 * version set the rest was not checked. */
int ma_options_parse(struct ma_options *options, int count, char *const *arguments,
		     struct ma_error *error);
void ma_options_fini(struct ma_options *options);

#endif
