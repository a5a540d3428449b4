/* SPDX-License-Identifier: MIT */
/*
 * ma_attach: the steps of getting the hook in, in their order, and what to do when one of them
 * fails. The target is left as it was unless code of ours has begun to patch it; from then on the
 * way back is a removal like any other.
 */
#include "inject/attach.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inject/boot_run.h"
#include "inject/clock.h"
#include "inject/guardian.h"
#include "inject/headroom.h"
#include "inject/install.h"
#include "inject/python_tables.h"
#include "inject/removal.h"
#include "inject/seccomp_filter.h"

enum {
	SAFE_POINT_MS = 10000,
	LOAD_MS = 10000, /* for the loader to come back */
	GRACE_MS = 2000, /* and after it was called off */
	RENEW_MS = 300,  /* a daemon renews its lease every 50 ms at least */
};

struct request {
	pid_t pid;
	const struct ma_attach_options *options;
	uint64_t start_tsc;
	uint64_t start_ns;
};

struct attach {
	const struct request *request;
	const struct ma_attach_options *options;
	struct ma_attach_result *result;
	struct ma_session *session;
	struct ma_install install;
	struct ma_resident *loaded; /* what the loader answered, owned */
};

__attribute__((format(printf, 2, 3))) static void notice(struct attach *attach, const char *format,
							 ...)
{
	char *text = attach->result->notice;
	size_t used = strlen(text);
	size_t room = sizeof(attach->result->notice);
	va_list args;

	if (used && used + 1 < room)
		text[used++] = '\n';
	va_start(args, format);
	vsnprintf(text + used, room - used, format, args);
	va_end(args);
}

/* Reasons against it that can be seen from outside. */
static int check(struct attach *attach, struct ma_error *error)
{
	const struct ma_session *session = attach->session;
	const struct ma_thunk_data *thunks = &session->view.thunks.content;
	uint64_t need = attach->options->mode == MA_MODE_EXACT ? MA_HEADROOM_EXACT_BYTES
							       : MA_HEADROOM_SAMPLED_BYTES;
	struct ma_headroom headroom;

	if (session->view.resolved.internal_dlopen) {
		ma_error_set(error, MA_ERR_UNSAFE, 0, "attaching to process %d", session->pid);
		ma_error_answer(error, "it has not loaded libdl, which the hook's way in needs");
		return MA_ERR_UNSAFE;
	}
	if (session->view.thunks.found && thunks->abi != MA_HOOK_ABI) {
		ma_error_set(error, MA_ERR_UNSAFE, 0, "attaching to process %d", session->pid);
		ma_error_answer(error,
				"memattach %s left thunks there that this version cannot use",
				thunks->release);
		ma_error_remedy(error, "Use memattach %s, or restart the process.",
				thunks->release);
		return MA_ERR_UNSAFE;
	}
	if (attach->options->force)
		return 0;
	return ma_headroom_check(session->pid, need, &headroom, error);
}

/* Does a daemon that lives serve the hook? It renews the lease at every poll. The lease of one that
 * was killed runs on, but is not renewed. */
static bool is_served(const struct ma_session *session)
{
	uint64_t until_ns = ma_clock_ns() + RENEW_MS * MA_NS_PER_MS;
	uint64_t lease = ma_view_lease(&session->view);

	while (lease && ma_clock_ns() < until_ns) {
		if (ma_view_lease(&session->view) != lease)
			return true;
		ma_clock_pause(2 * MA_NS_PER_MS);
	}
	return false;
}

static int refuse_served(const struct ma_session *session, struct ma_error *error)
{
	ma_error_set(error, MA_ERR_UNSAFE, 0, "attaching to process %d", session->pid);
	ma_error_answer(error,
			"another memattach daemon serves it (another user's, or with another "
			"runtime directory)");
	ma_error_remedy(error,
			"Ask that one, by running memattach as its user; or end its session:  "
			"memattach detach %d   or take over with  --force",
			session->pid);
	return MA_ERR_UNSAFE;
}

/* A hook from before (its daemon died, or it could not be unloaded then) goes first. */
static int take_over(struct attach *attach, struct ma_error *error)
{
	struct ma_session *session = attach->session;
	struct ma_detach_result removed;
	int failed;

	if (!ma_removal_needed(session))
		return 0;
	if (!attach->options->force && is_served(session))
		return refuse_served(session, error);
	failed = ma_remove(session, &removed, error);
	if (failed)
		return failed;
	if (removed.lingering) {
		ma_error_set(error, MA_ERR_UNSAFE, 0, "removing the former hook from process %d",
			     session->pid);
		ma_error_answer(error, "%s", removed.notice);
		ma_error_remedy(error, "It is switched off and harmless. Try again later.");
		return MA_ERR_UNSAFE;
	}
	attach->result->took_over = true;
	session->deadline_ns = ma_clock_ns() + SAFE_POINT_MS * MA_NS_PER_MS;
	return ma_session_refresh(session, error);
}

static int admit_seccomp(struct attach *attach, struct ma_error *error)
{
	struct ma_session *session = attach->session;
	struct ma_seccomp_report report;

	return ma_seccomp_admit(session->victim.tid, &session->victim_status,
				!ma_session_on_victim(session), attach->options->trust_seccomp,
				&report, error);
}

/* The loader hangs or has crashed: it cannot be taken back, only switched off for good. */
static int give_up_loader(struct attach *attach, int code, struct ma_error *error)
{
	struct ma_session *session = attach->session;

	ma_boot_cancel(session, attach->install.resident);
	if (attach->install.area)
		__atomic_store_n(&attach->install.area->control.enabled, 0, __ATOMIC_RELEASE);
	ma_session_forget_undo(session);
	ma_session_release(session);
	ma_error_remedy(error,
			"The loader was called off and ends by itself; our memory stays until "
			"memattach detach %d.",
			session->pid);
	return code;
}

/* What has led into nothing yet. Threads that forked meanwhile may be in the loader's code. */
static void take_back(struct attach *attach)
{
	struct ma_session *session = attach->session;
	const struct ma_range loader = {attach->install.resident,
					attach->install.resident + MA_RESIDENT_BYTES};
	struct ma_detach_result proven = {0};

	/* A thread may be about to call the handler in it (inject/loader/fork_wait.c). */
	if (attach->loaded->config.step != MA_STEP_NONE)
		ma_session_keep_mapped(session, attach->install.thunk_code);
	if (!session->holding &&
	    (ma_removal_prove(session, &loader, 1, 0, ma_clock_ns() + GRACE_MS * MA_NS_PER_MS,
			      &proven, NULL) ||
	     proven.lingering))
		ma_session_forget_undo(session);
	ma_session_undo(session, NULL);
}

/* The loader came back and said no. */
static int roll_back(struct attach *attach, int code, struct ma_error *error)
{
	struct ma_session *session = attach->session;
	struct ma_detach_result removed;
	struct ma_error ignored;

	if (attach->loaded->config.step < MA_STEP_PATCH) {
		take_back(attach);
		return code;
	}
	ma_session_forget_undo(session);
	ma_session_release(session);
	if (ma_session_refresh(session, &ignored) || ma_remove(session, &removed, &ignored))
		ma_error_remedy(error, "Its hook is switched off; memattach detach %d removes it.",
				session->pid);
	return code;
}

static bool is_tls_exhausted(const struct ma_resident *loaded)
{
	return loaded->config.status == MA_BOOT_NO_LIBRARY &&
	       memmem(loaded->config.message, sizeof(loaded->config.message), "static TLS", 10);
}

/* After the loader could not be run: has any of its code gone further than making a thread? */
static bool has_begun(const struct attach *attach, bool on_thread)
{
	uint64_t step = attach->install.resident + MA_RESIDENT_DATA +
			offsetof(struct ma_resident, config) +
			offsetof(struct ma_hook_config, step);
	uint32_t value;

	if (attach->session->victim.abandoned)
		return true;
	return !on_thread &&
	       (ma_memory_read_u32(&attach->session->view.memory, ma_raddr(step), &value, NULL) ||
		value != MA_STEP_NONE);
}

/* Runs an op of the boot code on what was installed. */
static int start(struct attach *attach, enum ma_boot_op op, bool *on_thread, struct ma_error *error)
{
	struct ma_session *session = attach->session;
	int failed = ma_boot_start(session, attach->install.resident,
				   &attach->install.content->boot, op, on_thread, error);

	attach->result->boot_thread = *on_thread;
	if (failed && has_begun(attach, *on_thread))
		return give_up_loader(attach, failed, error);
	if (failed)
		ma_session_undo(session, NULL);
	return failed;
}

/* What the loader needs could not be filled: it is called off before it has loaded anything. */
static int call_off(struct attach *attach, bool on_thread, int code, struct ma_error *error)
{
	struct ma_session *session = attach->session;
	uint64_t deadline_ns = ma_clock_ns() + GRACE_MS * MA_NS_PER_MS;

	ma_boot_cancel(session, attach->install.resident);
	if (on_thread && ma_boot_finish(session, attach->install.resident, on_thread, deadline_ns,
					attach->loaded, NULL))
		return give_up_loader(attach, code, error);
	take_back(attach);
	return code;
}

/* Runs the loader. On a thread of its own it waits for us to fill what it has made; on the held
 * thread it comes back in between. */
static int load(struct attach *attach, struct ma_error *error)
{
	struct ma_session *session = attach->session;
	struct ma_install *install = &attach->install;
	bool on_victim = ma_session_on_victim(session);
	uint64_t deadline_ns = ma_clock_ns() + LOAD_MS * MA_NS_PER_MS;
	bool on_thread = false;
	int failed = start(attach, on_victim ? MA_BOOT_CALL : MA_BOOT_LOAD, &on_thread, error);

	if (failed)
		return failed;
	/* A thread is waiting for us. */
	ma_urgency_begin(&session->urgency);
	failed = ma_install_fill(install, session, attach->options, deadline_ns, error);
	if (on_thread)
		ma_urgency_end(&session->urgency);
	if (failed == MA_ERR_NO_PROCESS)
		return failed;
	if (failed)
		return call_off(attach, on_thread, failed, error);
	if (on_victim) {
		failed = start(attach, MA_BOOT_LOAD, &on_thread, error);
		if (failed)
			return failed;
		ma_session_release(session);
	}
	ma_install_touch(install);
	failed = ma_boot_finish(session, install->resident, on_thread, deadline_ns, attach->loaded,
				error);
	if (failed == MA_ERR_UNSAFE) {
		ma_boot_cancel(session, install->resident);
		failed = ma_boot_finish(session, install->resident, on_thread,
					ma_clock_ns() + GRACE_MS * MA_NS_PER_MS, attach->loaded,
					error);
	}
	if (failed == MA_ERR_NO_PROCESS)
		return failed;
	if (failed)
		return give_up_loader(attach, failed, error);
	failed = ma_boot_judge(attach->loaded, session->pid, error);
	return failed ? roll_back(attach, failed, error) : 0;
}

/* One try with one build of the hook. */
static int enter(struct attach *attach, bool tls_slots, struct ma_error *error)
{
	struct ma_session *session = attach->session;
	struct ma_install *install = &attach->install;
	int failed;

	ma_install_init(install, tls_slots, attach->request->start_tsc, attach->request->start_ns);
	memset(attach->loaded, 0, sizeof(*attach->loaded));
	failed = ma_install_plan(install, session, attach->options, error);
	if (!failed)
		failed = ma_session_stop(session, MA_NEED_CALLS, error);
	if (failed)
		return failed;
	failed = admit_seccomp(attach, error);
	if (failed) {
		ma_session_release(session);
		return failed;
	}
	failed = ma_install(install, session, attach->options, error);
	if (failed) {
		ma_session_undo(session, NULL);
		return failed;
	}
	failed = load(attach, error);
	if (!failed)
		ma_session_forget_undo(session);
	return failed;
}

static void report(struct attach *attach)
{
	struct ma_attach_result *result = attach->result;
	const struct ma_session *session = attach->session;
	const struct ma_resident *loaded = attach->loaded;
	uint64_t khz = attach->install.area->ident.tsc_khz;
	uint64_t ticks = loaded->boot.finished_tsc - attach->request->start_tsc;

	result->process = session->view.process;
	result->process.attached = true;
	snprintf(result->process.attached_release, sizeof(result->process.attached_release), "%s",
		 MA_RELEASE);
	result->hook_running_us = (uint32_t)(khz ? ticks * 1000 / khz : 0);
	result->pause_us = session->pause_us;
	result->unsafe_points = session->unsafe_points;
	result->slots_patched = (uint32_t)loaded->config.slots_patched;
	result->tls_slots = attach->install.tls_slots;
	if (result->boot_thread)
		notice(attach, "A short-lived thread of ours ran in the process; libc may keep a "
			       "malloc arena for it (address space, little memory).");
	if (attach->install.unwind.refused)
		notice(attach, "Its address space is limited and has no room to spare for unwind "
			       "tables: no native stacks.");
	if (session->prolonged)
		notice(attach, "A waiting system call was started over with its whole timeout.");
	if (session->late_count)
		notice(attach, "%d threads did not stop in time and were left alone.",
		       session->late_count);
	if (loaded->config.slots_foreign)
		notice(attach,
		       "%llu call slots of malloc and its relatives hold another tool's functions "
		       "(a memory profiler's?): what goes through them is not seen.",
		       (unsigned long long)loaded->config.slots_foreign);
	if (loaded->config.tables_foreign)
		notice(attach, "Some of Python's allocator tables could not be hooked: their small "
			       "objects are not counted.");
}

/* A process that replaces itself by another program (exec) under our hands makes one or the other
 * step fail, with words that nobody understands. Each program has addresses of its own. */
static int explain(pid_t pid, const struct ma_proc_auxv *before, int code, struct ma_error *error)
{
	struct ma_proc_auxv now;

	if (code == MA_ERR_NO_PROCESS || !before->entry || ma_proc_auxv_read(pid, &now, NULL) ||
	    !memcmp(before, &now, sizeof(now)))
		return code;
	ma_error_set(error, MA_ERR_UNSAFE, 0, "attaching to process %d", pid);
	ma_error_answer(error, "it replaced itself by another program (exec) meanwhile");
	ma_error_remedy(error, "Nothing of ours is left in it. Run the command again.");
	return MA_ERR_UNSAFE;
}

static int attach_process(void *request, void *result, int fds[MA_GUARDIAN_FDS],
			  struct ma_error *error)
{
	struct attach attach = {.request = request, .result = result};
	struct ma_proc_auxv program = {0};
	uint32_t timeout_ms;
	int failed;

	ma_proc_auxv_read(attach.request->pid, &program, NULL);
	attach.options = attach.request->options;
	ma_install_init(&attach.install, false, 0, 0);
	timeout_ms = attach.options->timeout_ms ? attach.options->timeout_ms : SAFE_POINT_MS;
	attach.session = malloc(sizeof(*attach.session));
	attach.loaded = calloc(1, sizeof(*attach.loaded));
	if (!attach.session || !attach.loaded)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "preparing the attach");
	failed = ma_session_open(attach.session, attach.request->pid,
				 attach.request->start_ns + timeout_ms * MA_NS_PER_MS, error);
	if (!failed)
		failed = take_over(&attach, error);
	if (!failed)
		failed = check(&attach, error);
	if (!failed)
		failed = enter(&attach, false, error);
	if (failed && is_tls_exhausted(attach.loaded)) {
		/* Too many libraries with static thread-local storage: the other build has none. */
		ma_install_fini(&attach.install);
		attach.session->deadline_ns = ma_clock_ns() + timeout_ms * MA_NS_PER_MS;
		failed = enter(&attach, true, error);
	}
	if (!failed) {
		ma_python_tables_locate(&attach.session->view, attach.install.area);
		report(&attach);
		fds[0] = dup(attach.session->view.pidfd);
		fds[1] = attach.install.area_file.fd;
		attach.install.area_file.fd = -1;
		if (attach.install.unwind.address) {
			fds[2] = attach.install.unwind.file.fd;
			attach.install.unwind.file.fd = -1;
		}
	} else {
		attach.result->process = attach.session->view.process;
		failed = explain(attach.request->pid, &program, failed, error);
	}
	ma_install_fini(&attach.install);
	ma_session_close(attach.session);
	free(attach.session);
	free(attach.loaded);
	return failed;
}

/* Nobody is left to serve the hook: out again. */
static void orphaned(void *request)
{
	const struct request *given = request;
	struct ma_session *session = malloc(sizeof(*session));
	struct ma_detach_result removed;

	if (!session)
		return;
	if (!ma_session_open(session, given->pid, ma_clock_ns() + SAFE_POINT_MS * MA_NS_PER_MS,
			     NULL))
		ma_remove(session, &removed, NULL);
	ma_session_close(session);
	free(session);
}

int ma_attach(pid_t pid, const struct ma_attach_options *options, struct ma_attach_result *result,
	      struct ma_error *error)
{
	struct request request = {
		.pid = pid,
		.options = options,
		.start_tsc = ma_arch.timestamp(),
		.start_ns = ma_clock_ns(),
	};
	struct ma_guardian_task task = {
		.work = attach_process,
		.orphaned = orphaned,
		.request = &request,
		.result = result,
		.result_bytes = sizeof(*result),
	};
	int fds[MA_GUARDIAN_FDS];
	int failed;

	memset(result, 0, sizeof(*result));
	failed = ma_guardian_run(&task, fds, error);
	result->pidfd = fds[0];
	result->area_fd = fds[1];
	result->unwind_fd = fds[2];
	return failed;
}
