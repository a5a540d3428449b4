/* SPDX-License-Identifier: MIT */
/*
 * A target for the tests that trace: a forked child that watches over its own registers, signal
 * mask and alternate signal stack, and shares a page with the test.
 */
#ifndef MA_TESTS_TRACE_TARGET_H
#define MA_TESTS_TRACE_TARGET_H

#include <stdint.h>
#include <sys/types.h>

#include "inject/inspect.h"
#include "inject/remote_call.h"
#include "inject/tracee.h"

/* Shared between test and target. */
struct trace_page {
	uint64_t rounds;  /* counted by the target */
	uint64_t broken;  /* something was not as it had been */
	uint64_t signals; /* SIGUSR2 seen */
	uint64_t value;   /* for the functions that are called in it */
	uint64_t go_on;
	struct ma_stub_control control;
	uint8_t frame[MA_REMOTE_STACK_BYTES] __attribute__((aligned(64)));
	uint8_t stack[1 << 16] __attribute__((aligned(64)));
};

struct trace_target {
	pid_t pid;
	struct trace_page *page;
	uint64_t stub; /* executable, the same address in test and target */
	struct ma_target_memory memory;
	struct ma_machine machine;
};

/* How the target spends its time. */
enum trace_work {
	TRACE_REGISTERS, /* values kept in vector registers and below the stack pointer */
	TRACE_SLEEP,     /* asleep in nanosleep, again and again */
};

/* Starts one. Fails the test when it cannot. */
void trace_start(struct trace_target *target, enum trace_work work);

/* Waits until the target has counted a few more rounds; fails the test when it does not, or when it
 * found something broken. */
void trace_goes_on(const struct trace_target *target);

void trace_end(struct trace_target *target);

/* Seizes, stops and saves the target's only thread. */
void trace_hold(const struct trace_target *target, struct ma_tracee *tracee,
		struct ma_remote *remote);

/* What a view of any process can say without its being a Python: memory, maps, link map. */
void trace_view_open(struct ma_view *view, pid_t pid);
void trace_view_close(struct ma_view *view);

/* Address of a function for setting up calls: the same in test and target. */
#define TRACE_ADDRESS(function) ((uint64_t)(uintptr_t)(function))

#endif
