/* SPDX-License-Identifier: MIT */
/*
 * Why may we not trace a process, and what helps. The kernel answers every refusal with the same
 * EPERM; the cause is told apart by the facts that decide it (ptrace(2), "Ptrace access mode
 * checking"; Documentation/admin-guide/LSM/Yama.rst). Facts and judgement are separate, so that
 * tests can go through every combination.
 */
#ifndef MA_INJECT_PERMISSION_H
#define MA_INJECT_PERMISSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/error.h"

/* The first thing that stands in the way, in the order in which the kernel asks. */
enum ma_denial {
	MA_DENIAL_NONE,
	MA_DENIAL_GONE,   /* no such process */
	MA_DENIAL_ZOMBIE, /* it ended, its parent has not yet asked */
	MA_DENIAL_SELF,   /* that is us */
	MA_DENIAL_KERNEL_THREAD,
	MA_DENIAL_TRACED,         /* somebody else traces it */
	MA_DENIAL_OWN_SECCOMP,    /* we ourselves may not call ptrace (old container runtimes) */
	MA_DENIAL_USER_NAMESPACE, /* it lives in a user namespace where our capability is void */
	MA_DENIAL_USER,           /* another user's, and we lack CAP_SYS_PTRACE */
	MA_DENIAL_DUMPABLE,       /* dumpable is 0: set-uid, prctl, or a file we may not read */
	MA_DENIAL_CAPABILITIES,   /* it holds capabilities that we do not hold */
	MA_DENIAL_YAMA_CHILDREN,  /* ptrace_scope 1 */
	MA_DENIAL_YAMA_ADMIN,     /* ptrace_scope 2 */
	MA_DENIAL_YAMA_OFF,       /* ptrace_scope 3: nobody, until reboot */
	MA_DENIAL_LSM,            /* nothing above explains it: AppArmor, SELinux or another */
	MA_DENIAL_COUNT,
};

/* Where we run ourselves; it decides which line helps. */
enum ma_surroundings { MA_ON_HOST, MA_IN_CONTAINER, MA_IN_KUBERNETES };

struct ma_permission_facts {
	bool exists;
	char state; /* of /proc/PID/status */
	bool self;
	bool kernel_thread;
	pid_t tracer; /* TracerPid; 0 = none, or one in a PID namespace that we do not see */
	char tracer_name[64];
	uid_t our_uid; /* effective */
	gid_t our_gid;
	uid_t uid[3]; /* the target's real, effective, saved */
	gid_t gid[3];
	bool our_ptrace_capability; /* CAP_SYS_PTRACE in our effective set */
	uint64_t our_capabilities;  /* permitted */
	uint64_t capabilities;      /* the target's permitted */
	bool other_user_namespace;
	bool undumpable;         /* files below /proc/PID do not belong to its effective user */
	int yama_scope;          /* -1 = no Yama */
	bool descendant;         /* the target descends from us */
	bool own_ptrace_blocked; /* ptrace on ourselves is refused by a filter */
	bool memory_readable;    /* a one-byte process_vm_readv was let through */
	enum ma_surroundings surroundings;
	char label[128];     /* the target's security label, "" = none */
	char our_label[128]; /* ours */
};

/* Reads the facts; never fails (what cannot be read keeps the value that explains nothing). */
void ma_permission_facts_read(pid_t pid, struct ma_permission_facts *facts);

/* Judges facts. `denied`: the system has refused a ptrace already, so that NONE is not an answer.
 * Pure. */
enum ma_denial ma_permission_judge(const struct ma_permission_facts *facts, bool denied);

/* What is the matter and what helps, for a denial other than NONE. Pure. */
enum { MA_DENIAL_ANSWER_BYTES = 200, MA_DENIAL_REMEDY_BYTES = 400 };
void ma_permission_describe(pid_t pid, enum ma_denial denial,
			    const struct ma_permission_facts *facts,
			    char answer[MA_DENIAL_ANSWER_BYTES],
			    char remedy[MA_DENIAL_REMEDY_BYTES]);

/* The error code of a denial. */
enum ma_err ma_permission_code(enum ma_denial denial);

/* Would an attach be allowed? 0, or an error that names the cause: MA_ERR_PERMISSION,
 * MA_ERR_NO_PROCESS (gone, zombie), MA_ERR_UNSAFE (another tracer, ourselves). */
int ma_permission_check(pid_t pid, struct ma_error *error);

/*
 * Turns the errno of a ptrace, process_vm_readv or open of /proc/PID/... on pid into an error with
 * its cause. `what` says what was attempted. Returns the error's code, never 0.
 */
int ma_permission_explain(pid_t pid, int sys_errno, const char *what, struct ma_error *error);

/* Where do we run? By the marks that container runtimes leave. */
enum ma_surroundings ma_permission_surroundings(void);

#endif
