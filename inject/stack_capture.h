/* SPDX-License-Identifier: MIT */
/*
 * A moment of a process: all its threads stopped at once, their registers and stacks copied, their
 * Python frames read, and everybody let go. What takes longer (walking the copied stacks, looking
 * names up) is done afterwards, by whoever has the capture.
 */
#ifndef MA_INJECT_STACK_CAPTURE_H
#define MA_INJECT_STACK_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/arch/arch.h"
#include "inject/inspect.h"
#include "inject/python_stacks.h"
#include "inject/unwinder.h"
#include "proto/error.h"

enum {
	MA_CAPTURE_THREADS = 1 << 14,
	MA_CAPTURE_PCS = 1 << 20,
	MA_CAPTURE_STACK_BYTES = 1 << 28,  /* of all threads together */
	MA_CAPTURE_THREAD_BYTES = 1 << 23, /* of one; a deeper stack is cut */
};

enum ma_captured_how {
	MA_CAPTURED_STOPPED, /* everything about it was read */
	MA_CAPTURED_BUSY,    /* it did not stop in time: deep in a system call */
	MA_CAPTURED_FOREIGN, /* somebody else traces that thread */
	MA_CAPTURED_GONE,    /* it ended meanwhile */
};

struct ma_captured {
	pid_t tid;
	enum ma_captured_how how;
	char state;      /* of /proc/PID/task/TID/stat before the stop; '?' = not looked at */
	bool has_python; /* it has a Python thread state */
	bool holds_gil;
	struct ma_py_walk python;
	struct ma_regs regs;
	uint64_t stack_start; /* address of the copied part of its stack */
	uint64_t stack_bytes;
	uint64_t stack_at; /* in `stack` */
	bool walked;       /* libunwind-ptrace has walked it to its end */
	uint32_t pc_at;    /* then its program counters, as struct ma_stack_walk has them */
	uint32_t pc_count;
};

/* Sparse memory, shared with the guardian that fills it. */
struct ma_capture {
	uint32_t count;
	uint32_t pause_us;  /* from the first stop to the last thread running again */
	uint32_t prolonged; /* calls with a time limit that were made to start over */
	uint32_t pc_count;
	uint64_t stack_bytes;
	struct ma_captured thread[MA_CAPTURE_THREADS]; /* ascending by tid where possible */
	struct ma_py_stacks python;
	uint64_t pc[MA_CAPTURE_PCS];
	uint8_t stack[MA_CAPTURE_STACK_BYTES];
};

/* Returns NULL when there is no room in our own address space. */
struct ma_capture *ma_capture_create(void);
void ma_capture_destroy(struct ma_capture *capture);

/*
 * Stops all threads of the view's process, reads, and lets them go. native: their stacks are copied
 * as well. unwinder: of the view; tells who made a call that the stop has ended (interrupted.h).
 * Returns 0 when at least one thread was read; MA_ERR_PERMISSION, MA_ERR_UNSAFE (another tracer, or
 * another memattach at work), MA_ERR_NO_PROCESS, MA_ERR_FAILED. CLI; blocks for less than a second,
 * as a rule.
 */
int ma_capture_take(const struct ma_view *view, struct ma_unwinder *unwinder,
		    struct ma_capture *capture, bool native, struct ma_error *error);

/*
 * Stops one thread of the capture (by index) again, alone, reads it anew and walks its stack with
 * libunwind-ptrace while it stands. For a stack that unwind tables did not lead through. Adds to
 * pause_us. Same errors; the capture keeps what it had unless `walked` is set.
 */
int ma_capture_rewalk(const struct ma_view *view, struct ma_unwinder *unwinder,
		      struct ma_capture *capture, uint32_t index, struct ma_error *error);

#endif
