/* SPDX-License-Identifier: MIT */
/*
 * Classic BPF as seccomp runs it, in two ways: with every input known (one result), and with the
 * arguments of the system call unknown (every result that some arguments could lead to). Pure
 * functions. Filters come from the target: programs are checked before they are run. seccomp(2),
 * linux/filter.h, kernel/seccomp.c seccomp_check_filter.
 */
#ifndef MA_INJECT_BPF_H
#define MA_INJECT_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is this a program that the kernel would take: known instructions, jumps inside and forward, ends
 * in a return, loads aligned and inside struct seccomp_data? */
bool ma_bpf_check(const struct sock_filter *program, size_t count);

/* Runs a checked program; returns its 32-bit result (action and data). */
uint32_t ma_bpf_run(const struct sock_filter *program, size_t count,
		    const struct seccomp_data *data);

/* What is known of a system call before it is made. */
struct ma_bpf_input {
	uint32_t number;
	uint32_t architecture; /* AUDIT_ARCH_X86_64 */
	uint8_t known;         /* bit i: args[i] is known. The instruction pointer never is. */
	uint64_t args[6];
};

/* Everything that a filter may answer. */
struct ma_bpf_outcome {
	bool allow;          /* ALLOW or LOG */
	bool no_system_call; /* ERRNO with ENOSYS: as if the kernel were older */
	bool fail;           /* ERRNO with another value, or with 0: the call is not made */
	bool trap;           /* TRAP: a SIGSYS, which kills unless handled */
	bool supervise;      /* TRACE or USER_NOTIF: somebody else decides */
	bool kill;           /* KILL_THREAD, KILL_PROCESS, or an action that we do not know */
};

/*
 * Follows every path of a checked program that unknown inputs leave open; adds to *outcome. Where
 * paths meet with different values, the value counts as unknown: the answer may hold more than what
 * can happen, never less.
 */
void ma_bpf_explore(const struct sock_filter *program, size_t count,
		    const struct ma_bpf_input *input, struct ma_bpf_outcome *outcome);

#endif
