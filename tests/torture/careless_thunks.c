/* SPDX-License-Identifier: MIT */
/*
 * Negative control: takes the thunk page away as well, as if slots had led to the hook itself.
 * Whoever copied an address out of a slot, as libexpat does, jumps into nothing (careless_point.c
 * says what for).
 */
#include <sys/syscall.h>

#include "inject/clock.h"
#include "inject/removal.h"

int __real_ma_remove(struct ma_session *session, struct ma_detach_result *result,
		     struct ma_error *error);
int __wrap_ma_remove(struct ma_session *session, struct ma_detach_result *result,
		     struct ma_error *error);

int __wrap_ma_remove(struct ma_session *session, struct ma_detach_result *result,
		     struct ma_error *error)
{
	uint64_t page[6] = {session->view.thunks.code.value, MA_THUNK_PAGES * 4096};
	int failed = __real_ma_remove(session, result, error);

	if (failed || result->lingering || !page[0])
		return failed;
	session->deadline_ns = ma_clock_ns() + MA_NS_PER_S;
	failed = ma_session_stop(session, MA_NEED_SYSCALLS, error);
	if (!failed)
		failed = ma_remote_demand(&session->remote, "unmapping the thunks", SYS_munmap,
					  page, NULL, error);
	ma_session_release(session);
	return failed;
}
