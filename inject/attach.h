/* SPDX-License-Identifier: MIT */
/*
 * The public face of inject/: look at a process from outside, attach to it, detach from it.
 * Everything runs in a forked, setsid guardian process that does the tracing; a signal to or the
 * death of the caller does not reach it. The caller gets results and file descriptors back over a
 * socket pair and reaps the guardian.
 */
#ifndef MA_INJECT_ATTACH_H
#define MA_INJECT_ATTACH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/area.h"
#include "proto/error.h"

/* What looking at a process from outside found; nothing was stopped or written. */
struct ma_process {
	pid_t pid;
	pid_t ns_pid;            /* in its own PID namespace */
	uid_t uid;               /* effective */
	uint32_t python_version; /* PY_VERSION_HEX, 0 = not a Python that we recognise */
	char python_release[24]; /* "3.11.7", or what it is instead: "PyPy", "Python 2.7" */
	char python_path[256];   /* object that holds the interpreter, as the target names it */
	uint64_t python_base;
	char python_build_id[44];
	char exe[256];
	char command[512]; /* cmdline, arguments joined by spaces, cut */
	uint32_t threads;
	char state;                /* of /proc/PID/stat: R S D T t Z */
	pid_t tracer;              /* TracerPid, 0 = none */
	bool free_threaded;        /* a build without the GIL */
	bool attached;             /* our thunks are installed */
	bool served;               /* and a daemon, whoever's, renews the hook's lease */
	bool thunks_left;          /* a thunk page from before is there */
	char attached_release[32]; /* memattach release of the hook inside */
	uint64_t uptime_ms;
};

/*
 * Inspects a process: identity, interpreter, version. Returns MA_ERR_NO_PROCESS, MA_ERR_PERMISSION
 * (names the cause), MA_ERR_NOT_PYTHON (says what it is; *process is filled as far as known).
 * CLI.
 */
int ma_process_inspect(pid_t pid, struct ma_process *process, struct ma_error *error);

/* Fills pids with up to max processes that look like Python, cheapest test first. Returns how many
 * there are (may exceed max). CLI. */
int ma_process_list(pid_t *pids, int max);

/* One line of the doctor's report. */
enum ma_check_state { MA_CHECK_OK, MA_CHECK_WARN, MA_CHECK_FAIL, MA_CHECK_SKIPPED };
struct ma_check {
	enum ma_check_state state;
	char name[40];    /* "ptrace permission" */
	char found[200];  /* what was found */
	char remedy[400]; /* what helps, a line to paste; empty when fine */
	int code;         /* of a failed check: what an attach would end with; 0 = not known */
};

/*
 * Runs every pre-check of an attach; pid 0: only what concerns this machine. Nothing runs in the
 * target; a thread of it stops for a moment where its seccomp filter has to be read. Writes up to
 * max checks and returns how many. CLI.
 */
int ma_doctor(pid_t pid, struct ma_check *checks, int max);

struct ma_attach_options {
	uint32_t mode;                         /* enum ma_mode */
	uint32_t interval_bytes;               /* first R; ignored in other modes than sampled */
	const struct ma_size_rate *size_rates; /* mode MA_MODE_CLASSES; borrowed */
	uint32_t size_rate_count;
	bool native;         /* native stacks too: makes the unwind area */
	bool force;          /* though headroom is small, or another daemon serves it */
	bool trust_seccomp;  /* attach although a seccomp filter could not be judged */
	uint32_t timeout_ms; /* for finding a safe point; 0 = 10000 */
};

/* What an attach leaves the caller with. The fds are returned-owned, CLOEXEC. */
struct ma_attach_result {
	int pidfd;
	int area_fd;   /* the shared memory, struct ma_area */
	int unwind_fd; /* struct ma_unwind_area; -1 = no native stacks */
	struct ma_process process;
	uint32_t hook_running_us; /* from the call to the hook being on */
	uint32_t pause_us;        /* longest time the victim thread stood still */
	uint32_t slots_patched;
	uint32_t unsafe_points; /* stops that were given up because the point was not safe */
	bool boot_thread;       /* a thread of ours ran: a malloc arena may be left behind */
	bool took_over;         /* a hook that nobody served was removed first */
	bool tls_slots;         /* the build without static thread-local storage was used */
	char notice[400];       /* things the person should know, one per line; may be empty */
};

/*
 * Attaches: on success the hook runs, switched on (control.enabled is 1, lease 30 s: hand area_fd
 * to the daemon before that). On failure the target is as it was. A target that already has our
 * hook: it is removed first (took_over); where a daemon that lives serves it, only with `force`.
 * Errors: all of enum ma_err but USAGE and PROTOCOL. CLI; blocks up to timeout_ms and a little.
 */
int ma_attach(pid_t pid, const struct ma_attach_options *options, struct ma_attach_result *result,
	      struct ma_error *error);

struct ma_detach_result {
	uint32_t pause_us;       /* longest stop of all threads for the proof */
	uint32_t proofs;         /* tries until nobody was inside */
	uint32_t slots_foreign;  /* left alone: no longer ours */
	uint32_t tables_foreign; /* bit per domain, the same */
	uint32_t bytes_left;     /* what stays: the thunk page */
	uint32_t children;       /* live children forked while attached: switched off, slots kept */
	bool lingering;    /* could not be proven in time: the hook stays mapped, switched off */
	bool was_attached; /* false: there was nothing to remove */
	char notice[400];
};

/* Removes hook, area and everything but the thunk page. CLI; blocks up to about 3 s. */
int ma_detach(pid_t pid, struct ma_detach_result *result, struct ma_error *error);

#endif
