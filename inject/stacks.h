/* SPDX-License-Identifier: MIT */
/*
 * The second public face of inject/: what every thread of a process does at one moment, Python and
 * native frames merged, without a hook. All threads are stopped for as long as it takes to copy
 * their stacks; the rest is done from the copies.
 */
#ifndef MA_INJECT_STACKS_H
#define MA_INJECT_STACKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "inject/attach.h"
#include "proto/error.h"

struct ma_stack_frame {
	bool python;
	const char *function; /* NULL: a native frame that no symbol covers */
	const char *file;     /* NULL: not known */
	int line;             /* 0: not known */
	/* native frames only */
	bool inlined;       /* compiled into the function of the next frame outwards */
	const char *module; /* path of the object; NULL: code in no object */
	const char *build_id;
	uint64_t offset;  /* in the object, as its file counts addresses */
	uint64_t address; /* return addresses are less 1 */
};

enum ma_stack_how {
	MA_STACK_READ,
	MA_STACK_BUSY,   /* it did not stop: deep in a system call */
	MA_STACK_TRACED, /* another program traces that thread */
};

struct ma_stack_thread {
	pid_t tid;
	char name[64];
	char state; /* before the stop: R S D T t Z; '?' = unknown */
	enum ma_stack_how how;
	bool has_python; /* it has a Python thread state */
	bool holds_gil;
	bool native;                  /* native frames were asked for */
	bool complete;                /* the native stack goes down to the start of the thread */
	bool exact;                   /* Python and native frames are known to be in their order */
	bool python_broken;           /* outer Python frames could not be read */
	bool again;                   /* it was stopped once more, alone, for the native stack */
	uint32_t folded;              /* interpreter frames that were left out */
	struct ma_stack_frame *frame; /* innermost first */
	uint32_t frame_count;
};

struct ma_stacks {
	uint32_t pause_us; /* how long the process stood still */
	uint32_t
		prolonged; /* waiting calls that were made to start over with their whole timeout */
	bool finalizing;   /* the interpreter shuts down: no Python frames */
	bool incomplete;   /* some Python threads may be missing */
	struct ma_stack_thread *thread; /* ascending by tid */
	uint32_t thread_count;
};

struct ma_stacks_session;

/*
 * Looks at a process and loads its unwind tables, without stopping it. *session is to be closed
 * when 0 was returned. Errors: MA_ERR_NO_PROCESS, MA_ERR_PERMISSION, MA_ERR_NOT_PYTHON,
 * MA_ERR_FAILED. CLI.
 */
int ma_stacks_open(pid_t pid, struct ma_stacks_session **session, struct ma_error *error);
void ma_stacks_close(struct ma_stacks_session *session);

/* The process, as it was found. Borrowed. */
const struct ma_process *ma_stacks_process(const struct ma_stacks_session *session);

/*
 * Takes the stacks of all threads. native: with native frames. *stacks is the session's and valid
 * until the next call. Errors: those of opening, and MA_ERR_UNSAFE (another tracer, or another
 * memattach at work on it). CLI.
 */
int ma_stacks_take(struct ma_stacks_session *session, bool native, const struct ma_stacks **stacks,
		   struct ma_error *error);

#endif
