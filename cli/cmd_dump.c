/* SPDX-License-Identifier: MIT */
/* memattach dump PID: the heap state as one file. The bytes are the daemon's, unchanged. */
#include "cli/cmd.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/errors.h"
#include "cli/format.h"
#include "cli/json_out.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "cli/tracking.h"

/* Where the snapshot goes. */
struct destination {
	bool to_stdout;
	struct ma_output_file file;
	off_t stdout_start; /* of what we write there; -1: not a regular file */
};

static int refuse_terminal(pid_t pid, struct ma_error *error)
{
	ma_error_set(error, MA_ERR_USAGE, 0, "writing a snapshot to the terminal");
	ma_error_answer(error, "it is binary");
	ma_error_remedy(error,
			"memattach dump %d > snapshot.bin\nmemattach dump %d -o snapshot.bin",
			(int)pid, (int)pid);
	return MA_ERR_USAGE;
}

/* Looked at before anything is done to the process. */
static int open_destination(struct destination *destination, const struct ma_options *options,
			    struct ma_error *error)
{
	struct stat st;
	const char *output = options->output;
	*destination = (struct destination){
		.to_stdout = !output || strcmp(output, "-") == 0,
		.file = {.fd = -1},
		.stdout_start = -1,
	};
	if (!destination->to_stdout)
		return ma_output_file_begin(&destination->file, output, error);
	if (isatty(STDOUT_FILENO))
		return refuse_terminal(options->pids[0], error);
	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode))
		destination->stdout_start = lseek(STDOUT_FILENO, 0, SEEK_CUR);
	return 0;
}

static int write_stdout(const struct destination *destination, const void *bytes, size_t count,
			struct ma_error *error)
{
	int code = ma_output_write_all(STDOUT_FILENO, bytes, count, "the snapshot", error);
	if (code && error->sys_errno == EPIPE)
		return 0;
	/* A part of a snapshot must not be taken for one. */
	if (code && destination->stdout_start >= 0 &&
	    ftruncate(STDOUT_FILENO, destination->stdout_start) < 0)
		ma_error_remedy(error,
				"What was written of it is not a snapshot: remove the file.");
	return code;
}

static int fetch_and_write(struct ma_tracking *tracking, struct destination *destination, pid_t pid,
			   size_t *size, struct ma_error *error)
{
	Memattach__Reply *reply = NULL;
	int code = ma_client_snapshot(&tracking->client, pid, !tracking->options->no_native, &reply,
				      error);
	if (code)
		return code;
	*size = reply->snapshot.len;
	if (destination->to_stdout)
		code = write_stdout(destination, reply->snapshot.data, *size, error);
	else
		code = ma_output_file_finish(&destination->file, reply->snapshot.data, *size,
					     error);
	ma_client_free_reply(reply);
	return code;
}

static void notice_ended(struct ma_tracking *tracking, pid_t pid)
{
	Memattach__Reply *reply = NULL;
	struct ma_error ignored;
	if (tracking->options->quiet ||
	    ma_client_sessions(&tracking->client, pid, &reply, &ignored))
		return;
	const Memattach__Session *session = ma_tracking_session(reply, pid);
	if (session && session->state == MEMATTACH__SESSION__STATE__ENDED)
		ma_output_notice("%d ended: %s; this is its last state", (int)pid, session->ended);
	ma_client_free_reply(reply);
}

static int print_json(const struct ma_tracking *tracking, size_t size)
{
	const struct ma_target *target = &tracking->targets.list[0];
	struct ma_json json = {0};
	ma_json_begin_object(&json, NULL);
	ma_json_string(&json, "schema", "memattach.dump/1");
	ma_json_integer(&json, "pid", target->pid);
	if (target->error.code) {
		ma_json_null(&json, "file");
		ma_json_unsigned(&json, "bytes", 0);
	} else {
		ma_json_string(&json, "file", tracking->options->output);
		ma_json_unsigned(&json, "bytes", size);
	}
	ma_errors_json_list(&json, &tracking->targets);
	ma_json_end_object(&json);
	int code = ma_output_print(&json.text, 0);
	ma_text_fini(&json.text);
	return code;
}

int ma_cmd_dump(const struct ma_options *options)
{
	struct destination destination;
	struct ma_tracking tracking;
	struct ma_error error = {0};
	size_t size = 0;
	if (open_destination(&destination, options, &error))
		return ma_errors_print(&error);
	ma_tracking_begin(&tracking, options);
	struct ma_target *target = &tracking.targets.list[0];
	if (!target->error.code)
		ma_tracking_watch(&tracking, options->wait_ms, "watching");
	ma_tracking_await_names(&tracking);
	if (!target->error.code) {
		if (fetch_and_write(&tracking, &destination, target->pid, &size, &error))
			ma_tracking_fail(&tracking, target, &error);
		else
			notice_ended(&tracking, target->pid);
	}
	if (!target->error.code && !options->quiet && !destination.to_stdout)
		ma_output_notice("wrote %s to %s", ma_format_size((double)size).text,
				 options->output);
	if (options->json)
		tracking.exit_code =
			ma_errors_first(tracking.exit_code, print_json(&tracking, size));
	ma_output_file_abandon(&destination.file);
	return ma_tracking_end(&tracking);
}
