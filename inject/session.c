/* SPDX-License-Identifier: MIT */
#include "inject/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject/clock.h"
#include "inject/interrupted.h"
#include "inject/permission.h"
#include "inject/victim.h"

enum {
	STOP_MS = 100,  /* how long one thread gets to stop */
	LATE_MS = 3000, /* and at the end of a session, those that did not */
	CODE_CHUNK_BYTES = 1 << 16,
	CODE_OVERLAP_BYTES = 16,
};

/* Two of our programs may hold different threads of one target and undo each other's work: a lock
 * on its directory in /proc, which exists exactly as long as it does, keeps them apart. */
int ma_session_lock(pid_t pid, uint64_t deadline_ns, int *lock_fd, struct ma_error *error)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", pid);
	*lock_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*lock_fd < 0)
		return 0; /* no such process: looking at it says so */
	for (;;) {
		if (!flock(*lock_fd, LOCK_EX | LOCK_NB))
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return 0; /* a kernel that cannot lock there: go on without */
		if (ma_clock_ns() >= deadline_ns)
			break;
		ma_clock_pause(MA_NS_PER_MS);
	}
	ma_error_set(error, MA_ERR_UNSAFE, 0, "working on process %d", pid);
	ma_error_answer(error,
			"another memattach is attaching to it or detaching from it right now");
	ma_error_remedy(error, "Wait for it to end, then try again.");
	return MA_ERR_UNSAFE;
}

static int prepare_machine(struct ma_session *session, struct ma_error *error)
{
	const struct ma_link_map *map = &session->view.link_map;
	const struct ma_module *libc = &map->object[map->libc_object].module;
	uint8_t *code = malloc(CODE_CHUNK_BYTES);
	struct ma_machine *machine = &session->machine;

	*machine = (struct ma_machine){0};
	ma_arch.measure(machine);
	for (int s = 0; code && s < libc->segment_count; s++) {
		const struct ma_segment *segment = &libc->segment[s];
		uint64_t at = segment->start;

		while ((segment->protection & PROT_EXEC) && at < segment->end &&
		       !(machine->syscall_return && machine->sigreturn)) {
			uint64_t left = segment->end - at;
			size_t bytes = left < CODE_CHUNK_BYTES ? (size_t)left : CODE_CHUNK_BYTES;

			bytes = ma_memory_read_some(&session->view.memory, ma_raddr(at), code,
						    bytes, NULL);
			if (bytes <= CODE_OVERLAP_BYTES)
				break;
			ma_arch.find_gadgets(code, bytes, at, machine);
			at += bytes - CODE_OVERLAP_BYTES;
		}
	}
	free(code);
	if (machine->syscall_return && machine->sigreturn)
		return 0;
	if (ma_view_ended(&session->view))
		return ma_error_set(error, MA_ERR_NO_PROCESS, ESRCH,
				    "preparing calls in process %d", session->pid);
	ma_error_set(error, MA_ERR_UNSAFE, 0, "preparing calls in process %d", session->pid);
	ma_error_answer(error, "its C library (%s) has no instructions for that", libc->path);
	return MA_ERR_UNSAFE;
}

static int prepare(struct ma_session *session, struct ma_error *error)
{
	ma_safe_rules_init(&session->rules, &session->view);
	if (session->view.thunks.found)
		ma_safe_rules_own(&session->rules, session->view.thunks.code.value,
				  session->view.thunks.data.value);
	session->unwinder = ma_unwinder_create(&session->view);
	if (!session->unwinder)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "reading the objects of %d",
				    session->pid);
	return prepare_machine(session, error);
}

int ma_session_open(struct ma_session *session, pid_t pid, uint64_t deadline_ns,
		    struct ma_error *error)
{
	int failed;

	memset(session, 0, sizeof(*session));
	session->pid = pid;
	session->lock_fd = -1;
	session->deadline_ns = deadline_ns;
	session->view.pidfd = -1;
	session->view.memory.fd = -1;
	failed = ma_session_lock(pid, deadline_ns, &session->lock_fd, error);
	if (!failed)
		failed = ma_view_open(pid, &session->view, error);
	if (failed)
		return failed;
	if (session->view.status.shadow_stack) {
		ma_error_set(error, MA_ERR_UNSAFE, 0, "preparing calls in process %d", pid);
		ma_error_answer(error,
				"it runs with shadow stacks, which forbid borrowing a thread");
		ma_error_remedy(error,
				"Start it without them: GLIBC_TUNABLES=glibc.cpu.x86_shstk=off");
		return MA_ERR_UNSAFE;
	}
	return prepare(session, error);
}

int ma_session_refresh(struct ma_session *session, struct ma_error *error)
{
	struct ma_view *fresh = malloc(sizeof(*fresh));
	int failed;

	if (!fresh)
		return ma_error_set(error, MA_ERR_FAILED, ENOMEM, "looking at process %d again",
				    session->pid);
	failed = ma_view_open(session->pid, fresh, error);
	/* The old pidfd says whether that still is the same process. */
	if (!failed && ma_view_ended(&session->view))
		failed = ma_error_set(error, MA_ERR_NO_PROCESS, ESRCH,
				      "looking at process %d again", session->pid);
	if (failed) {
		ma_view_close(fresh);
		free(fresh);
		return failed;
	}
	ma_unwinder_destroy(session->unwinder);
	session->unwinder = NULL;
	ma_view_close(&session->view);
	session->view = *fresh;
	free(fresh);
	return prepare(session, error);
}

void ma_session_settle(struct ma_session *session)
{
	int kept = 0;

	for (int i = 0; i < session->late_count; i++) {
		if (ma_interrupted_let_go(session->late[i], &session->view, session->unwinder))
			free(session->late[i]);
		else
			session->late[kept++] = session->late[i];
	}
	session->late_count = kept;
}

void ma_session_close(struct ma_session *session)
{
	uint64_t deadline_ns = ma_clock_ns() + LATE_MS * MA_NS_PER_MS;

	ma_session_release(session);
	ma_session_settle(session);
	while (session->late_count && ma_clock_ns() < deadline_ns) {
		ma_clock_pause(MA_NS_PER_MS);
		ma_session_settle(session);
	}
	/* What is late still is let go by the kernel when this process ends; a call that we have
	 * interrupted then ends with EINTR. */
	for (int i = 0; i < session->late_count; i++)
		free(session->late[i]);
	session->late_count = 0;
	ma_unwinder_destroy(session->unwinder);
	session->unwinder = NULL;
	ma_view_close(&session->view);
	if (session->lock_fd >= 0)
		close(session->lock_fd);
	session->lock_fd = -1;
}

/* A thread that does not stop now will do so some day, and must not stay stopped then. */
static void keep_late(struct ma_session *session, const struct ma_tracee *running)
{
	struct ma_tracee *tracee = NULL;

	if (session->late_count < MA_LATE_MAX)
		tracee = malloc(sizeof(*tracee));
	if (!tracee)
		return; /* the end of this process lets it go */
	*tracee = *running;
	session->late[session->late_count++] = tracee;
}

static void account_pause(struct ma_session *session)
{
	uint64_t us = (ma_clock_ns() - session->victim.asked_ns) / MA_NS_PER_US;

	if (us > session->pause_us)
		session->pause_us = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

void ma_session_release(struct ma_session *session)
{
	if (!session->holding)
		return;
	if (session->victim.state == MA_TRACEE_RUNNING) {
		keep_late(session,
			  &session->victim); /* a call that did not come back, and will not stop */
	} else {
		if (!session->victim.abandoned)
			ma_tracee_restore(&session->victim, NULL);
		ma_interrupted_recheck(&session->victim);
		ma_tracee_detach(&session->victim);
		account_pause(session);
	}
	ma_urgency_end(&session->urgency);
	session->holding = false;
}

/* Is anybody of a wholly stopped target at an unsafe point? They would keep their locks until
 * SIGCONT. The victim is held; all others are looked at in turn. */
static bool others_safe(struct ma_session *session)
{
	pid_t *tids;
	size_t count;
	bool safe = true;
	struct ma_tracee *other = malloc(sizeof(*other));

	if (!other || ma_proc_tasks(session->pid, &tids, &count, NULL)) {
		free(other);
		return false;
	}
	for (size_t i = 0; i < count && safe; i++) {
		if (tids[i] == session->victim.tid ||
		    ma_tracee_seize(other, session->pid, tids[i], NULL))
			continue;
		safe = !ma_tracee_interrupt(other, ma_clock_ns() + STOP_MS * MA_NS_PER_MS, NULL) &&
		       !ma_tracee_read_regs(other, NULL) &&
		       ma_safe_point(&session->rules, session->unwinder, other, MA_NEED_CALLS, 0,
				     session->why, sizeof(session->why));
		if (!ma_tracee_settle(other))
			keep_late(session, other);
	}
	free(tids);
	free(other);
	return safe;
}

static bool admit(struct ma_session *session, enum ma_need need)
{
	struct ma_tracee *victim = &session->victim;
	struct ma_proc_status *status = &session->victim_status;

	if (!ma_safe_point(&session->rules, session->unwinder, victim, need, MA_REMOTE_STACK_BYTES,
			   session->why, sizeof(session->why)))
		return false;
	if (ma_proc_status_read(session->pid, victim->tid, status, NULL)) {
		snprintf(session->why, sizeof(session->why), "its status could not be read");
		return false;
	}
	session->victim_ns_tid =
		(uint32_t)(status->ns_known && status->ns_pid ? status->ns_pid : victim->tid);
	session->threads = status->threads;
	return !(victim->group_stopped && session->threads > 1 && need == MA_NEED_CALLS) ||
	       others_safe(session);
}

/* Was it asked to stop before, and has not yet? It is ours already, and cannot be seized again. */
static bool is_late(const struct ma_session *session, pid_t tid)
{
	for (int i = 0; i < session->late_count; i++)
		if (session->late[i]->tid == tid)
			return true;
	return false;
}

/* Tries one thread. 0 = held; 1 = not this one; negative = no thread will do. */
static int try_thread(struct ma_session *session, pid_t tid, enum ma_need need,
		      struct ma_error *error)
{
	struct ma_tracee *victim = &session->victim;
	int failed;

	if (is_late(session, tid))
		return 1;
	ma_unwinder_load_for(session->unwinder, tid);
	failed = ma_tracee_seize(victim, session->pid, tid, error);
	if (failed == MA_ERR_PERMISSION) {
		struct ma_proc_stat stat;

		if (ma_proc_stat_read(session->pid, tid, &stat, NULL) || strchr("ZX", stat.state))
			return 1;
		return ma_permission_explain(session->pid, EPERM, "tracing one of its threads",
					     error);
	}
	if (failed)
		return 1;
	ma_urgency_begin(&session->urgency);
	failed = ma_tracee_interrupt(victim, ma_clock_ns() + STOP_MS * MA_NS_PER_MS, error);
	if (failed)
		ma_urgency_end(&session->urgency);
	if (failed && victim->state == MA_TRACEE_RUNNING) {
		snprintf(session->why, sizeof(session->why),
			 "thread %d does not stop (it is deep in a system call)", tid);
		keep_late(session, &session->victim);
		return 1;
	}
	if (failed) {
		ma_tracee_detach(victim);
		return 1;
	}
	failed = ma_tracee_read_regs(victim, error);
	if (!failed && ma_interrupted_settle(victim, &session->view, session->unwinder) ==
			       MA_SETTLED_PROLONGED)
		session->prolonged = true;
	if (!failed)
		failed = ma_tracee_save(victim, error);
	if (!failed && admit(session, need)) {
		ma_remote_init(&session->remote, victim, &session->view.memory, &session->machine);
		session->holding = true;
		return 0;
	}
	session->unsafe_points += !failed;
	session->holding = true;
	ma_session_release(session);
	return 1;
}

static int give_up(struct ma_session *session, int left_out, struct ma_error *error)
{
	ma_error_set(error, MA_ERR_UNSAFE, 0, "looking for a moment to enter process %d",
		     session->pid);
	if (session->why[0])
		ma_error_answer(error, "no thread was at a safe point; the last one: %s",
				session->why);
	else
		ma_error_answer(error,
				"no thread can be stopped now (%d wait for a child or a disk)",
				left_out);
	ma_error_remedy(error, "Nothing was changed. Try again, or give it more time.");
	return MA_ERR_UNSAFE;
}

int ma_session_stop(struct ma_session *session, enum ma_need need, struct ma_error *error)
{
	uint64_t pause_ns = MA_NS_PER_MS / 2;
	int left_out = 0;

	session->why[0] = '\0';
	for (unsigned int round = 0;; round++) {
		pid_t tids[MA_VICTIMS];
		int count;
		int failed = ma_victim_rank(session->pid, round, tids, &count, &left_out, error);

		if (failed)
			return failed;
		for (int i = 0; i < count && i < 8; i++) {
			failed = try_thread(session, tids[i], need, error);
			if (failed <= 0)
				return failed;
		}
		ma_session_settle(session);
		if (ma_view_ended(&session->view))
			return ma_error_set(error, MA_ERR_NO_PROCESS, ESRCH, "entering process %d",
					    session->pid);
		if (ma_clock_ns() >= session->deadline_ns)
			return give_up(session, left_out, error);
		/* Code that we do not know may have been loaded since we looked. */
		if (round % 16 == 3 && strstr(session->why, "no known file")) {
			failed = ma_session_refresh(session, error);
			if (failed)
				return failed;
		}
		ma_clock_pause(pause_ns);
		if (pause_ns < 8 * MA_NS_PER_MS)
			pause_ns += pause_ns / 2;
	}
}

bool ma_session_on_victim(const struct ma_session *session)
{
	return session->threads <= 1 || session->victim.group_stopped;
}

void ma_session_push_undo(struct ma_session *session, int64_t number, uint64_t a, uint64_t b)
{
	if (session->undo_count < MA_UNDO_MAX)
		session->undo[session->undo_count++] =
			(struct ma_undo){number, {a, b}, {.number = -1}};
}

void ma_session_push_close(struct ma_session *session, const struct ma_boot_fd *fd)
{
	if (session->undo_count < MA_UNDO_MAX)
		session->undo[session->undo_count++] =
			(struct ma_undo){SYS_close, {(uint64_t)fd->number}, *fd};
}

/* The program may have closed an fd of ours and have another file under its number. */
static bool still_ours(const struct ma_session *session, const struct ma_boot_fd *fd)
{
	struct stat found;
	char path[64];

	if (fd->number < 0)
		return true; /* no fd at all */
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", session->pid, fd->number);
	return !stat(path, &found) && found.st_dev == fd->device && found.st_ino == fd->inode;
}

void ma_session_forget_undo(struct ma_session *session)
{
	session->undo_count = 0;
}

void ma_session_keep_mapped(struct ma_session *session, uint64_t address)
{
	int kept = 0;

	for (int i = 0; i < session->undo_count; i++) {
		const struct ma_undo *undo = &session->undo[i];

		if (undo->number != SYS_munmap || undo->args[0] != address)
			session->undo[kept++] = *undo;
	}
	session->undo_count = kept;
}

int ma_session_undo(struct ma_session *session, struct ma_error *error)
{
	int failed = 0;

	if (session->holding && session->victim.abandoned)
		ma_session_release(session);
	if (session->undo_count && !session->holding) {
		session->deadline_ns = ma_clock_ns() + 3 * MA_NS_PER_S;
		failed = ma_session_stop(session, MA_NEED_SYSCALLS, error);
	}
	while (!failed && session->undo_count) {
		const struct ma_undo *undo = &session->undo[--session->undo_count];
		int64_t result;

		if (!still_ours(session, &undo->fd))
			continue;
		failed = ma_remote_syscall(&session->remote, undo->number, undo->args, &result,
					   error);
	}
	ma_session_release(session);
	return failed;
}
