/* SPDX-License-Identifier: MIT */
/* The sub-commands as data: names, arguments, help. What they do is in cmd_NAME.c. */
#ifndef MA_CLI_COMMANDS_H
#define MA_CLI_COMMANDS_H

enum ma_command_id {
	MA_COMMAND_SUMMARY, /* a bare list of PIDs */
	MA_COMMAND_LIVE,
	MA_COMMAND_PS,
	MA_COMMAND_ATTACH,
	MA_COMMAND_DETACH,
	MA_COMMAND_STATUS,
	MA_COMMAND_DUMP,
	MA_COMMAND_STACKS,
	MA_COMMAND_DOCTOR,
	MA_COMMAND_DAEMON,
	MA_COMMANDS,
};

/* How many PIDs a command takes. */
enum ma_pids { MA_PIDS_NONE, MA_PIDS_OPTIONAL, MA_PIDS_ONE, MA_PIDS_REQUIRED };

struct ma_command {
	enum ma_command_id id;
	const char *name;      /* "" for the summary */
	const char *arguments; /* for the usage line */
	const char *summary;   /* one line for the list of commands */
	const char *details;   /* sentences for the command's own help */
	enum ma_pids pids;
};

extern const struct ma_command ma_commands[MA_COMMANDS];

/* The command of that name, or NULL. */
const struct ma_command *ma_command_find(const char *name);

#endif
