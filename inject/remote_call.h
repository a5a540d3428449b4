/* SPDX-License-Identifier: MIT */
/*
 * Making a stopped thread of the target do something for us: a system call, or a call of a
 * function. No code is patched. A thread that was set on its way restores itself: a system call
 * returns into rt_sigreturn with a signal frame that holds the thread's own context, and the stub
 * that calls functions ends in rt_sigreturn too. Whenever the tracer dies, the thread ends up where
 * it was.
 */
#ifndef MA_INJECT_REMOTE_CALL_H
#define MA_INJECT_REMOTE_CALL_H

#include <stddef.h>
#include <stdint.h>

#include "inject/arch/arch.h"
#include "inject/remote_memory.h"
#include "inject/tracee.h"
#include "proto/error.h"

enum { MA_REMOTE_SCRATCH_BYTES = 64 };

/* A saved tracee, and what its remote calls need. Set up by ma_remote_init. */
struct ma_remote {
	struct ma_tracee *tracee;
	const struct ma_target_memory *memory;
	const struct ma_machine *machine;
	uint64_t frame;   /* signal frame on the thread's stack; 0 = not written yet */
	uint64_t scratch; /* MA_REMOTE_SCRATCH_BYTES of the same stack, for arguments */
};

/* All borrowed. The tracee is stopped and saved. */
void ma_remote_init(struct ma_remote *remote, struct ma_tracee *tracee,
		    const struct ma_target_memory *memory, const struct ma_machine *machine);

/* Room that remote system calls take below the red zone of a stack, at most. */
enum { MA_REMOTE_STACK_BYTES = MA_XSTATE_BYTES + 1024 };

/*
 * Makes one system call. *result is what the kernel returned (-4095..-1: an errno). Errors are
 * those of tracing; after one the thread is still self-restoring. Tracer.
 */
int ma_remote_syscall(struct ma_remote *remote, int64_t number, const uint64_t args[6],
		      int64_t *result, struct ma_error *error);

/* The same for a call that must succeed: a failing one is MA_ERR_FAILED with its errno, and `what`
 * says what it was for. */
int ma_remote_demand(struct ma_remote *remote, const char *what, int64_t number,
		     const uint64_t args[6], uint64_t *result, struct ma_error *error);

/* Writes up to MA_REMOTE_SCRATCH_BYTES where system calls can take them as an argument. */
int ma_remote_put(struct ma_remote *remote, const void *bytes, size_t count, uint64_t *address,
		  struct ma_error *error);

/* Where in the target a function call finds its parts. */
struct ma_call_site {
	uint64_t stub;      /* machine code written by ma_arch.stub_write */
	uint64_t control;   /* struct ma_stub_control */
	uint64_t frame;     /* MA_REMOTE_STACK_BYTES, a multiple of 64 */
	uint64_t stack_top; /* of a stack of our own */
	uint32_t tgid;      /* the thread's ids in its own PID namespace */
	uint32_t tid;
};

/*
 * Calls function(argument). On return the thread is stopped with its own context restored. Errors:
 * MA_ERR_FAILED when it crashed (the thread was restored; locks it held stay held); MA_ERR_UNSAFE
 * when it did not come back by the deadline: the thread was let go and restores itself when the
 * call ends, tracee->abandoned is set, and whatever the call uses must stay where it is. Tracer.
 */
int ma_remote_call(struct ma_remote *remote, const struct ma_call_site *site, uint64_t function,
		   uint64_t argument, uint64_t deadline_ns, uint64_t *result,
		   struct ma_error *error);

#endif
