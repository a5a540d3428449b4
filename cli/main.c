/* SPDX-License-Identifier: MIT */
/* memattach: reads the command line and hands over to the sub-command. */
#include "cli/cmd.h"
#include "cli/debuginfod.h"
#include "cli/errors.h"
#include "cli/help.h"
#include "cli/output.h"

static int (*const runs[MA_COMMANDS])(const struct ma_options *) = {
	[MA_COMMAND_SUMMARY] = ma_cmd_summary, [MA_COMMAND_LIVE] = ma_cmd_live,
	[MA_COMMAND_PS] = ma_cmd_ps,           [MA_COMMAND_ATTACH] = ma_cmd_attach,
	[MA_COMMAND_DETACH] = ma_cmd_detach,   [MA_COMMAND_STATUS] = ma_cmd_status,
	[MA_COMMAND_DUMP] = ma_cmd_dump,       [MA_COMMAND_STACKS] = ma_cmd_stacks,
	[MA_COMMAND_DOCTOR] = ma_cmd_doctor,   [MA_COMMAND_DAEMON] = ma_cmd_daemon,
};

#ifdef MA_DYNAMIC
static const bool is_dynamic = true;
#else
static const bool is_dynamic = false;
#endif

static int print_help(const struct ma_options *options)
{
	struct ma_text text = {0};
	ma_help_write(&text, options->command);
	int code = ma_output_print(&text, 0);
	ma_text_fini(&text);
	return code;
}

static int print_version(void)
{
	struct ma_text text = {0};
	ma_text_add(&text, "memattach " MA_RELEASE "\n");
	int code = ma_output_print(&text, 0);
	ma_text_fini(&text);
	return code;
}

int main(int argc, char **argv)
{
	struct ma_options options;
	struct ma_error error = {0};
	int code;
	ma_output_init();
	if (ma_options_parse(&options, argc > 0 ? argc - 1 : 0, argv + 1, &error) ||
	    ma_debuginfod_check(&options, is_dynamic, &error))
		code = ma_errors_print(&error);
	else if (options.version)
		code = print_version();
	else if (options.help)
		code = print_help(&options);
	else
		code = runs[options.command->id](&options);
	ma_options_fini(&options);
	return code;
}
