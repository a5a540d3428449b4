/* SPDX-License-Identifier: MIT */
/*
 * Everything that can be learnt of a process without stopping it, gathered once: the first part of
 * an attach and of a detach, and all of ma_process_inspect. A pidfd is opened first and asked again
 * at the end, so that what was read belongs to one process even when pids are reused.
 */
#ifndef MA_INJECT_INSPECT_H
#define MA_INJECT_INSPECT_H

#include "inject/attach.h"
#include "inject/interpreter.h"
#include "inject/link_map.h"
#include "inject/maps.h"
#include "inject/procfs.h"
#include "inject/remote_memory.h"
#include "inject/resolve.h"
#include "inject/thunk_page.h"

struct ma_view {
	pid_t pid;
	int pidfd; /* owned; -1 = none (take it by setting -1) */
	struct ma_proc_status status;
	struct ma_proc_auxv auxv;
	struct ma_target_memory memory;
	struct ma_maps maps;
	struct ma_link_map link_map;
	struct ma_interpreter interpreter;
	struct ma_resolved resolved;
	struct ma_thunk_page thunks;
	struct ma_process process; /* the summary of all that */
};

/*
 * Looks at pid. Returns 0 only for a CPython that we support and may look into; on an error the
 * view (view->process above all) is filled as far as it went. ma_view_close in either case.
 * MA_ERR_NO_PROCESS, MA_ERR_PERMISSION (names the cause), MA_ERR_NOT_PYTHON, MA_ERR_FAILED.
 */
int ma_view_open(pid_t pid, struct ma_view *view, struct ma_error *error);
void ma_view_close(struct ma_view *view);

/* Reads maps and link map again, for a caller that lets time pass. Same errors. */
int ma_view_refresh(struct ma_view *view, struct ma_error *error);

/* Until when, by the time-stamp counter, the hook in it works without a word from a daemon; 0 =
 * there is no hook at work. A daemon that lives renews it many times a second. */
uint64_t ma_view_lease(const struct ma_view *view);

/* Has the process that the view was opened on ended? (poll on the pidfd) */
bool ma_view_ended(const struct ma_view *view);

#endif
