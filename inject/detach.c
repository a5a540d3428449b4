/* SPDX-License-Identifier: MIT */
/* ma_detach: a removal in a guardian process. */
#include "inject/attach.h"

#include <stdlib.h>

#include "inject/clock.h"
#include "inject/guardian.h"
#include "inject/hook_file.h"
#include "inject/removal.h"

enum { SAFE_POINT_MS = 10000 };

static int detach(void *request, void *result, int fds[MA_GUARDIAN_FDS], struct ma_error *error)
{
	struct ma_session *session = malloc(sizeof(*session));
	const pid_t *pid = request;
	int failed;

	(void)fds;
	if (!session)
		return ma_error_set(error, MA_ERR_FAILED, 0, "out of memory");
	failed =
		ma_session_open(session, *pid, ma_clock_ns() + SAFE_POINT_MS * MA_NS_PER_MS, error);
	if (!failed)
		failed = ma_remove(session, result, error);
	if (!failed && ma_hook_file_needed(*pid))
		ma_hook_file_sweep(*pid);
	ma_session_close(session);
	free(session);
	return failed;
}

int ma_detach(pid_t pid, struct ma_detach_result *result, struct ma_error *error)
{
	struct ma_guardian_task task = {
		.work = detach,
		.request = &pid,
		.result = result,
		.result_bytes = sizeof(*result),
	};
	int fds[MA_GUARDIAN_FDS];

	return ma_guardian_run(&task, fds, error);
}
