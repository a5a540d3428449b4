/* SPDX-License-Identifier: MIT */
/* memattach daemon: serve in the foreground; --stop: end the daemon that runs. */
#include "cli/cmd.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/daemon_client.h"
#include "cli/errors.h"
#include "cli/json_out.h"
#include "cli/output.h"
#include "daemon/daemon.h"
#include "proto/channel.h"

/* One line that says what happened, as text or JSON. socket may be NULL. */
static int print_state(const struct ma_options *options, const char *state, const char *socket)
{
	struct ma_text text = {0};
	struct ma_json json = {0};
	ma_json_begin_object(&json, NULL);
	ma_json_string(&json, "schema", "memattach.daemon/1");
	ma_json_string(&json, "state", state);
	ma_json_integer(&json, "pid", getpid());
	if (socket)
		ma_json_string(&json, "socket", socket);
	else
		ma_json_null(&json, "socket");
	ma_json_end_object(&json);
	if (!options->quiet)
		ma_text_addf(&text, "daemon %s%s%s\n", state, socket ? " on " : "",
			     socket ? socket : "");
	int code = ma_output_print(options->json ? &json.text : &text, 0);
	ma_text_fini(&text);
	ma_text_fini(&json.text);
	return code;
}

static int stop(const struct ma_options *options)
{
	struct ma_client client = {.fd = -1};
	struct ma_error error = {0};
	int code = ma_client_connect(&client, &error);
	if (code == MA_ERR_NO_PROCESS)
		return print_state(options, "not running", NULL);
	if (!code)
		code = ma_client_shutdown(&client, &error);
	ma_client_close(&client);
	return code ? ma_errors_print(&error) : print_state(options, "stopped", NULL);
}

int ma_cmd_daemon(const struct ma_options *options)
{
	char path[108] = "";
	int abstract = 0;
	struct ma_error error = {0};
	if (options->stop)
		return stop(options);
	int code = ma_channel_path(path, &abstract, &error);
	int listen_fd = code ? code : ma_channel_listen(&error);
	if (listen_fd < 0)
		return ma_errors_print(&error);
	/* From here on clients can connect; they are answered as soon as the daemon runs. */
	code = print_state(options, "listening", path);
	if (code) {
		close(listen_fd);
		return code;
	}
	prctl(PR_SET_NAME, "memattachd");
	const struct ma_daemon_options daemon_options = {
		.listen_fd = listen_fd,
		.ready_fd = -1,
		.foreground = options->idle_ms == 0,
		.idle_seconds = (unsigned)((options->idle_ms + 999) / 1000),
		.log_path = options->log,
	};
	return ma_daemon_run(&daemon_options, &error) ? ma_errors_print(&error) : 0;
}
