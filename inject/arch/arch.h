/* SPDX-License-Identifier: MIT */
/*
 * What the tracer must know of a CPU: registers, the way into a system call and a function, the
 * signal frame by which a thread restores itself, and a few bytes of machine code. One table of
 * functions per CPU, one file per table; nothing else in inject/ depends on the CPU.
 *
 * Thread context: functions that take a tid are called by the tracer of that thread while it is in
 * a ptrace-stop; they return 0, or -1 with errno. All others are pure.
 */
#ifndef MA_INJECT_ARCH_H
#define MA_INJECT_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

enum {
	MA_XSTATE_BYTES = 16384, /* room for the extended state; AMX machines need 11,008 */
	MA_STUB_BYTES = 64,      /* room that the stub takes at the start of the resident code */
};

/* The general registers of a thread, as ptrace shows them. */
struct ma_regs {
	struct user_regs_struct raw;
};

/* Everything that a thread must have again when we are done with it. */
struct ma_context {
	struct ma_regs regs;
	uint64_t signal_mask;
	size_t xstate_bytes;
	uint8_t xstate[MA_XSTATE_BYTES];
};

/* What calls into one target are built with; looked up before it is stopped. */
struct ma_machine {
	/* Instructions that libc has anyway and that we run instead of patching code. */
	uint64_t syscall_return; /* a system call instruction, then a return */
	uint64_t sigreturn;      /* loads rt_sigreturn's number and makes that system call */
	/* Bytes of extended state up to the end of each feature, 0 = no such feature. Asking the
	 * CPU takes tens of microseconds in a virtual machine. */
	uint32_t feature_end[64];
};

/* How a stop has cut a system call short. */
enum ma_interrupted {
	MA_INTERRUPTED_NOT,     /* not in a system call, or it came to its end */
	MA_INTERRUPTED_RESTART, /* the kernel restarts it by itself when the thread goes on */
	MA_INTERRUPTED_EINTR,   /* the program would see EINTR */
};

/* The words that the stub shares with the tracer; x86_64.c's machine code knows the offsets. */
struct ma_stub_control {
	uint64_t result; /* of the called function, stored when it returned */
	uint32_t done;   /* then 1 */
	uint32_t tgid;   /* of the thread, in its own PID namespace */
	uint32_t tid;
	uint32_t reserved;
	uint64_t sigreturn_sp; /* stack pointer for rt_sigreturn */
};

struct ma_arch_ops {
	const char *name;
	size_t red_zone_bytes; /* below the stack pointer, in use by leaf functions */

	int (*regs_get)(pid_t tid, struct ma_regs *regs);
	int (*regs_set)(pid_t tid, const struct ma_regs *regs);
	/* FP, vector and other extended state. ENODEV: the CPU or kernel cannot show it. */
	int (*xstate_get)(pid_t tid, struct ma_context *context);
	int (*xstate_set)(pid_t tid, const struct ma_context *context);

	uint64_t (*pc)(const struct ma_regs *regs);
	uint64_t (*sp)(const struct ma_regs *regs);
	uint64_t (*thread_pointer)(const struct ma_regs *regs);
	/* Of a thread of which no more is known; all others are zero. */
	void (*regs_at)(struct ma_regs *regs, uint64_t pc, uint64_t sp);
	/* Registers in DWARF order, the return address column last. Returns how many (at most 32).
	 */
	int (*dwarf_registers)(const struct ma_regs *regs, uint64_t words[32]);

	/* The system call a stopped thread is in or has just left; -1 = none. */
	int64_t (*syscall_number)(const struct ma_regs *regs);
	uint64_t (*syscall_arg)(const struct ma_regs *regs, int index);
	int64_t (*syscall_result)(const struct ma_regs *regs);
	enum ma_interrupted (*interrupted)(const struct ma_regs *regs);
	/* Length of the system call instruction, and: are these its bytes? */
	size_t syscall_bytes;
	bool (*is_syscall)(const uint8_t *code);
	/* Makes the thread make its system call again, from the beginning. */
	void (*step_back)(struct ma_regs *regs);

	/*
	 * Sets registers up to make one system call at gadget syscall_return with the stack pointer
	 * on a frame built by frame_build (whose first word it returns to).
	 */
	void (*setup_syscall)(struct ma_regs *regs, const struct ma_machine *machine,
			      uint64_t frame, int64_t number, const uint64_t args[6]);
	/* Sets registers up to run the stub: function(argument) on another stack. */
	void (*setup_call)(struct ma_regs *regs, uint64_t stub, uint64_t control, uint64_t function,
			   uint64_t argument, uint64_t stack_top);

	/*
	 * The frame from which rt_sigreturn restores a context: general registers, signal mask,
	 * extended state; the alternate signal stack stays as it is. frame_bytes says how much room
	 * it takes; frame_build writes the bytes that belong at `address` (a multiple of 64). A
	 * system call that the kernel would have restarted is made again from its beginning: the
	 * kernel's own way of going on is lost in rt_sigreturn.
	 */
	size_t (*frame_bytes)(const struct ma_context *context, const struct ma_machine *machine);
	void (*frame_build)(const struct ma_context *context, const struct ma_machine *machine,
			    uint64_t address, void *bytes);
	/* What the stack pointer must be at the rt_sigreturn instruction itself. */
	uint64_t (*frame_sigreturn_sp)(uint64_t address);

	/* Fills what the CPU says about itself. */
	void (*measure)(struct ma_machine *machine);
	/* Looks for instructions not yet found (0) in a piece of code at `address`. */
	void (*find_gadgets)(const uint8_t *code, size_t bytes, uint64_t address,
			     struct ma_machine *machine);

	/*
	 * The stub: call, store the result in struct ma_stub_control, set done,
	 * tgkill(tgid, tid, SIGURG), rt_sigreturn. Fills MA_STUB_BYTES. stub_done: is pc behind the
	 * tgkill of a stub at this address?
	 */
	void (*stub_write)(uint8_t *code);
	bool (*stub_done)(uint64_t stub, uint64_t pc);

	/* The CPU's time-stamp counter. */
	uint64_t (*timestamp)(void);
};

/* The CPU that this program was built for. */
extern const struct ma_arch_ops ma_arch;

#endif
