/* SPDX-License-Identifier: MIT */
/* See seccomp_look.h. A guardian does it, as it does everything that stops a thread. */
#include "inject/seccomp_look.h"

#include <stdlib.h>

#include "inject/clock.h"
#include "inject/guardian.h"
#include "inject/seccomp_filter.h"
#include "inject/session.h"

enum { LOOK_MS = 2000 };

static int judge(struct ma_session *session, struct ma_error *error)
{
	struct ma_seccomp_report report;
	int failed = ma_session_stop(session, MA_NEED_CALLS, error);

	if (failed)
		return failed;
	failed = ma_seccomp_admit(session->victim.tid, &session->victim_status,
				  !ma_session_on_victim(session), false, &report, error);
	ma_session_release(session);
	return failed;
}

static int look(void *request, void *result, int fds[MA_GUARDIAN_FDS], struct ma_error *error)
{
	struct ma_session *session = malloc(sizeof(*session));
	const pid_t *pid = request;
	int failed;

	(void)result;
	(void)fds;
	if (!session)
		return ma_error_set(error, MA_ERR_FAILED, 0, "out of memory");
	failed = ma_session_open(session, *pid, ma_clock_ns() + LOOK_MS * MA_NS_PER_MS, error);
	if (!failed)
		failed = judge(session, error);
	ma_session_close(session);
	free(session);
	return failed;
}

int ma_seccomp_look(pid_t pid, struct ma_error *error)
{
	char nothing = 0;
	struct ma_guardian_task task = {
		.work = look, .request = &pid, .result = &nothing, .result_bytes = sizeof(nothing)};
	int fds[MA_GUARDIAN_FDS];

	return ma_guardian_run(&task, fds, error);
}
