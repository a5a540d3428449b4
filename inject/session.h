/* SPDX-License-Identifier: MIT */
/*
 * One tracing session with one target, inside the guardian process: what was found out before
 * anything was stopped, the thread that is borrowed at the moment, and what has to be undone should
 * a later step fail. Attach and detach are written on top of it.
 */
#ifndef MA_INJECT_SESSION_H
#define MA_INJECT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "inject/inspect.h"
#include "inject/loader/resident.h"
#include "inject/remote_call.h"
#include "inject/safe_point.h"
#include "inject/tracee.h"
#include "inject/unwinder.h"
#include "inject/urgency.h"
#include "proto/error.h"

enum { MA_UNDO_MAX = 24, MA_LATE_MAX = 32 };

/* A system call that takes back what an earlier one did. */
struct ma_undo {
	int64_t number;
	uint64_t args[6];
	struct ma_boot_fd fd; /* close it, if it still is that file; number -1 = no fd */
};

struct ma_session {
	pid_t pid;
	int lock_fd;
	uint64_t deadline_ns; /* for finding a safe point */
	struct ma_view view;
	struct ma_safe_rules rules;
	struct ma_unwinder *unwinder;
	struct ma_machine machine;

	struct ma_urgency urgency; /* while holding */
	bool holding;              /* victim is stopped and saved */
	struct ma_tracee victim;
	struct ma_remote remote;
	struct ma_proc_status victim_status;
	uint32_t victim_ns_tid; /* in its own PID namespace */
	uint32_t threads;       /* of the target when the victim was stopped */

	/* threads that did not stop in time: they are let go as soon as they do */
	struct ma_tracee *late[MA_LATE_MAX];
	int late_count;

	struct ma_undo undo[MA_UNDO_MAX];
	int undo_count;

	uint32_t pause_us; /* longest time that a victim stood still */
	uint32_t unsafe_points;
	bool prolonged; /* some waiting call was made to start over with its whole timeout */
	char why[160];  /* the last reason why a point was not safe */
};

/*
 * Waits until no other program of ours works on the target. *lock_fd (returned-owned; -1 = none)
 * holds the lock until it is closed. 0, or MA_ERR_UNSAFE at the deadline.
 */
int ma_session_lock(pid_t pid, uint64_t deadline_ns, int *lock_fd, struct ma_error *error);

/*
 * Opens the target and prepares everything that can be prepared while it runs. Takes a lock so that
 * two programs of ours never work on one target. Errors: those of ma_view_open; MA_ERR_UNSAFE when
 * another one is at it or shadow stacks are on; MA_ERR_FAILED. ma_session_close in either case.
 */
int ma_session_open(struct ma_session *session, pid_t pid, uint64_t deadline_ns,
		    struct ma_error *error);
void ma_session_close(struct ma_session *session);

/* Looks at the target again after it has changed: objects, tables, rules. Not while holding. */
int ma_session_refresh(struct ma_session *session, struct ma_error *error);

/*
 * Stops one thread where `need` is safe, and saves it. Tries thread after thread until the
 * deadline. Errors: MA_ERR_UNSAFE with the last reason; MA_ERR_PERMISSION; MA_ERR_NO_PROCESS.
 */
int ma_session_stop(struct ma_session *session, enum ma_need need, struct ma_error *error);

/* Gives the held thread back as it was, and lets it run. Nothing held is fine. */
void ma_session_release(struct ma_session *session);

/* Lets threads go that did not stop in time and have by now. */
void ma_session_settle(struct ma_session *session);

/* Will a call of ours have to run on the held thread itself? True when it is the only one, or when
 * the whole target is stopped: a thread of ours would not run then. */
bool ma_session_on_victim(const struct ma_session *session);

/* Notes how to take back what was just done. */
void ma_session_push_undo(struct ma_session *session, int64_t number, uint64_t a, uint64_t b);

/* The same for a file descriptor: it is closed if it is still that file then. */
void ma_session_push_close(struct ma_session *session, const struct ma_boot_fd *fd);

/* Everything is well: nothing to be taken back. */
void ma_session_forget_undo(struct ma_session *session);

/* What was to be unmapped at this address stays. */
void ma_session_keep_mapped(struct ma_session *session, uint64_t address);

/*
 * Takes back what was noted, newest first, stopping a thread if none is held; releases it. Returns
 * 0, or the error that left something behind.
 */
int ma_session_undo(struct ma_session *session, struct ma_error *error);

#endif
