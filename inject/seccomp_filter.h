/* SPDX-License-Identifier: MIT */
/*
 * Would the target survive our system calls? Every container has a seccomp filter, so its mere
 * presence says nothing; what counts is its answer to each call that an attach makes inside the
 * target (ours by remote call, the dynamic loader's while it loads the hook, and those of the boot
 * thread, which PTRACE_O_SUSPEND_SECCOMP would not cover).
 */
#ifndef MA_INJECT_SECCOMP_FILTER_H
#define MA_INJECT_SECCOMP_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/procfs.h"
#include "proto/error.h"

enum ma_seccomp_verdict {
	MA_SECCOMP_OFF,     /* no seccomp at all */
	MA_SECCOMP_ALLOWED, /* every call that must work does, none kills */
	MA_SECCOMP_REFUSES, /* a call that must work fails with an errno: attach cannot work */
	MA_SECCOMP_KILLS,   /* a call could kill, trap or hand over to a supervisor */
	MA_SECCOMP_STRICT,  /* mode 1: read, write, exit, sigreturn and nothing else */
	MA_SECCOMP_UNKNOWN, /* there are filters and we could not read them */
};

/* How the filters of one thread were read. */
struct ma_seccomp_filters {
	struct sock_filter **program; /* newest first */
	size_t *length;
	size_t count;
};
void ma_seccomp_filters_fini(struct ma_seccomp_filters *filters);

/*
 * Reads the filters of a thread that the caller has seized and that is in a ptrace-stop. Needs
 * CAP_SYS_ADMIN in the initial user namespace and no filter on ourselves. 0; MA_ERR_PERMISSION =
 * cannot be read (judge as unknown); MA_ERR_NO_PROCESS. Tracer.
 */
int ma_seccomp_filters_read(pid_t stopped_tid, struct ma_seccomp_filters *filters,
			    struct ma_error *error);

struct ma_seccomp_report {
	enum ma_seccomp_verdict verdict;
	char killing[160]; /* names, comma separated, cut with "..." */
	char failing[160]; /* must-work calls that fail */
};

/* Judges filters (all of them answer; the strictest action wins) over our list of calls.
 * `boot_thread`: the attach will make a thread. Pure. */
void ma_seccomp_judge(const struct ma_seccomp_filters *filters, bool boot_thread,
		      struct ma_seccomp_report *report);

/*
 * What to do about a thread's seccomp, in one call for the tracer: mode off: 0. Strict, killing or
 * refusing filters: MA_ERR_UNSAFE naming the calls. Unreadable: MA_ERR_UNSAFE unless `trust`.
 * stopped_tid as above. Tracer.
 */
int ma_seccomp_admit(pid_t stopped_tid, const struct ma_proc_status *status, bool boot_thread,
		     bool trust, struct ma_seccomp_report *report, struct ma_error *error);

#endif
